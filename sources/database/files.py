"""Small files in directories that another account may own: never written through somebody's symbolic link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def fresh_file(path: Path) -> BinaryIO:
    """A new empty file at `path`, open for writing; what was there is removed, not followed."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def replace_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Put `text` at `path` in one step: a reader sees the old file or the new one."""
    partial = path.with_name(f"{path.name}.new")
    with fresh_file(partial) as file:
        file.write(text.encode())
        os.fchmod(file.fileno(), mode)
    partial.replace(path)


def last_lines(path: Path, count: int) -> list[str]:
    """The last few lines of a log, without blank ones; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()][-count:]


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
