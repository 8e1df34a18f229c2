"""Brings a database to this version's schema. Safe to start many times at once: one migrates, the others find it done.

Works on PostgreSQL 16 and newer, as a role that may create schemas in the database (its owner, usually).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sources.database.metadata import APP_ROLE, VERSION_SCHEMA, VERSION_TABLE
from sources.errors import ConfigurationError, DatabaseUnavailable

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_LOCK: Final = 0x1ED6E26A  # one number that nothing else in the database uses
_OLDEST: Final = 160000
_UNREACHABLE = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)

_LOCK_SECONDS: Final = 30
"""While a migration waits for a table, everybody else who wants it waits behind: somebody who reads for an hour must not stop
them all."""

_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)


async def upgrade(owner_dsn: str, revision: str = "head") -> None:
    """Creates or upgrades the schemas, and the application role where it is missing, in one transaction; `revision`: up to
    this one.

    Raises ConfigurationError when the server is too old, its encoding is not UTF8, or the role lacks a permission (the
    message holds the statements for an administrator), and DatabaseUnavailable when the server does not answer, or others hold
    its tables for too long (nothing was changed then).
    """
    connection = await _connect(owner_dsn)
    try:
        await _check_server(connection)
        await _ensure_app_role(connection)
    finally:
        await connection.close()
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(owner_dsn), poolclass=NullPool)
    try:
        async with engine.begin() as transaction:
            await transaction.run_sync(_run, revision)
    except (asyncpg.InsufficientPrivilegeError, *_HELD, DBAPIError) as fault:
        refused = fault.driver_exception if isinstance(fault, DBAPIError) else fault
        if isinstance(refused, _HELD):
            raise DatabaseUnavailable(
                f"Others held the ledger's tables for more than {_LOCK_SECONDS} seconds, and nothing was changed: run it "
                "again when long reports, backups and open sessions have ended."
            ) from refused
        if not isinstance(refused, asyncpg.InsufficientPrivilegeError):
            raise
        raise ConfigurationError(
            f"The database role may not migrate the database ({refused}): migrate as the database's owner."
        ) from refused
    finally:
        await engine.dispose()


async def current_revision(dsn: str) -> str | None:
    """The database's revision, None when it was never migrated. Raises DatabaseUnavailable, and ConfigurationError when the
    login is refused or may not read it."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regnamespace($1)", VERSION_SCHEMA) is None:
            return None
        if await connection.fetchval("SELECT to_regclass($1)", f"{VERSION_SCHEMA}.{VERSION_TABLE}") is None:
            return None
        revision: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_SCHEMA}.{VERSION_TABLE}")
        return revision
    except asyncpg.InsufficientPrivilegeError as refused:
        user = await connection.fetchval("SELECT quote_ident(current_user)")
        raise ConfigurationError(
            f"The database role {user} may not use the ledger. Let the database's owner run: GRANT {APP_ROLE} TO {user};"
        ) from refused
    finally:
        await connection.close()


def head_revision() -> str:
    """The revision that this version of the product needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise ConfigurationError("The installation is broken: it holds no migrations.")
    return head


def check_known(revision: str | None) -> None:
    """Raises ConfigurationError for a revision that a newer version of the product made."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise ConfigurationError(
            f"The database is at revision {revision}, which this version does not know: a newer version migrated it. "
            "Run that version."
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _run(connection: Connection, revision: str) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(dsn, timeout=30)
    except _UNREACHABLE as failure:
        raise DatabaseUnavailable("The database does not answer; check its address and that it runs.") from failure
    except (*_REFUSED, ValueError) as refused:
        raise ConfigurationError(
            f"The database refuses the login: {refused}. Check user, password and database name in its address."
        ) from refused


async def _check_server(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    if int(await connection.fetchval("SHOW server_version_num")) < _OLDEST:
        version = await connection.fetchval("SHOW server_version")
        raise ConfigurationError(f"PostgreSQL {version} is too old: version 16 or newer is needed.")
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(f"The database's encoding is {encoding}: create it with ENCODING 'UTF8'.")


async def _ensure_app_role(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", APP_ROLE):
            await _create_app_role(connection)
        if not await connection.fetchval("SELECT pg_has_role($1, 'SET')", APP_ROLE):
            await connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER WITH SET TRUE")
    except asyncpg.InsufficientPrivilegeError as refused:
        user = await connection.fetchval("SELECT quote_ident(current_user)")
        raise ConfigurationError(
            f"The database role {user} may not create or grant the role {APP_ROLE}. Let an administrator run: "
            f"CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO {user};"
        ) from refused


async def _create_app_role(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        await connection.execute(f"CREATE ROLE {APP_ROLE} NOLOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # roles belong to the cluster: another database's migration was quicker
