"""Removes an embedded database, for a fresh start."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from sources.database.cluster import Cluster
from sources.database.locks import FileLock
from sources.errors import ConfigurationError

_PATIENCE = 10.0
_OURS = (
    "cluster",
    "cluster.unfinished",
    "socket",
    "socket.path",
    "log",
    "postgresql.conf",
    "postgresql.conf.new",
    "startup.log",
    "server.lock",
)


async def remove_database(data_dir: Path, also: Sequence[str] = ()) -> None:
    """Removes the embedded database of `data_dir`, and what else of the directory `also` names; other files stay. Raises
    ConfigurationError while another process uses the directory, DatabaseUnavailable while one is starting or stopping."""
    cluster = await asyncio.to_thread(_existing, data_dir)
    if cluster is None:
        return
    starting = await FileLock.exclusive(cluster.start_lock, patience=_PATIENCE)
    try:
        alone = FileLock.attempt(cluster.users_lock)
        if alone is None:
            raise ConfigurationError(
                f"{data_dir} is in use by another process: end it first, or choose another --data-dir"
            )
        try:
            await asyncio.to_thread(_remove, cluster, (*_OURS, *also))
        finally:
            alone.close()
    finally:
        starting.close()


def _existing(data_dir: Path) -> Cluster | None:
    found = data_dir.expanduser().resolve()
    return Cluster(found, {}) if found.exists() else None


def _remove(cluster: Cluster, names: Sequence[str]) -> None:
    cluster.stop()
    for name in names:
        path = cluster.data_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
