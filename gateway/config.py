"""Settings: from the command line, the environment and one TOML file, in this order of precedence.

Everything that is wrong is reported at once; each line names where it was found, the key, and what it should be.
Secrets are `Secret` strings, which `repr` does not show.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.limits import CACHES, Limits
from gateway.sourceconfig import NAME, absolute, read_sources
from gateway.values import MISSING, Problems, Secret, take_text, unknown_keys
from sources.errors import ConfigurationError
from sources.mirror.settings import SourceSettings

DEFAULT_DATA_DIR = Path(".ledgergraph")
DEFAULT_PORT = 8000
SHORTEST_SECRET = 32
"""Bytes of an HMAC key: as long as the output of SHA-256 (RFC 7518, section 3.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """How tokens are checked. Neither `secret` nor `jwks_url`: one secret is kept in the data directory."""

    secret: str | None = None
    jwks_url: str | None = None
    issuer: str = "ledgergraph"
    audience: str = "ledgergraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where and how to listen. `port` 0: any free one. `shutdown_seconds`: how long open requests may take to end.
    `pool_size`: database connections of one process. `forwarded_allow_ips`: proxies whose X-Forwarded-* are believed.
    `compression`: long answers are compressed for clients that ask."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    pool_size: int = 10
    shutdown_seconds: int = 10
    cors_origins: tuple[str, ...] = ()
    forwarded_allow_ips: tuple[str, ...] = ("127.0.0.1",)
    log_level: str = "info"
    compression: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the gateway and its commands are told. `database_url` None: PostgreSQL embedded in `data_dir`.
    `database_direct_url`: for LISTEN, where a pooler stands before `database_url`. `mapping`: the file of rules of each ledger, by
    its code."""

    data_dir: Path = DEFAULT_DATA_DIR
    database_url: str | None = None
    database_direct_url: str | None = None
    jwt: JwtSettings = field(default_factory=JwtSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    limits: Limits = field(default_factory=Limits)
    sources: tuple[SourceSettings, ...] = ()
    mapping: Mapping[str, Path] = field(default_factory=dict)


_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(:(?P<port>[0-9]{0,5}))?", re.ASCII)
_TABLES = ("server", "limits", "sources", "mapping")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_WHOLE_FROM = {"port": 0, "workers": 1, "pool_size": 2, "shutdown_seconds": 1}
_WHOLE_TO = {"port": 65_535, "workers": 256, "pool_size": 1_000, "shutdown_seconds": 3_600}


def load(environment: Mapping[str, str], *, sources: Collection[str] | None = None, **arguments: Any) -> Settings:
    """Settings from the command line's `arguments` (None: not given; data_dir, database_url, config, host, port, workers),
    the environment and the TOML file that either names. `sources`: names of those that are asked for, None: all; the others are
    neither checked, nor need their secrets be set. Raises ConfigurationError with one line for each mistake."""
    problems = Problems()
    given = {name: value for name, value in arguments.items() if value is not None}
    file = given.get("config") or environment.get("LEDGERGRAPH_CONFIG") or None
    tables = _read_file(Path(file), problems) if file else {}
    where = str(file) if file else ""
    settings = Settings(
        data_dir=Path(given.get("data_dir") or environment.get("LEDGERGRAPH_DATA_DIR") or DEFAULT_DATA_DIR),
        jwt=_read_jwt(environment, problems),
        server=_read_server(tables.get("server", {}), given, where, problems),
        limits=_read_limits(tables.get("limits", {}), where, problems),
        mapping=_read_mapping(tables.get("mapping", {}), where, problems),
        sources=read_sources(tables.get("sources", []), Path(where).parent, environment, where, problems, sources),
        **_read_database(given, environment, problems),
    )
    problems.raise_all()
    return settings


def _read_file(path: Path, problems: Problems) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise ConfigurationError(f"{path}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationError(f"{path}: must be TOML: {fault}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: must be TOML, and is nested too deeply") from None
    unknown_keys(tables, _TABLES, str(path), "", problems)
    for name in ("server", "limits", "mapping"):
        if not isinstance(tables.get(name, {}), dict):
            problems.add(str(path), name, f"must be a table, written [{name}]")
            del tables[name]
    return tables


def _read_database(
    given: Mapping[str, Any], environment: Mapping[str, str], problems: Problems
) -> dict[str, Secret | None]:
    """An embedded database that the command line names beats an external one of the environment."""
    if "data_dir" in given and "database_url" in given:
        problems.add("command line", "--data-dir", "must not be given together with --database-url")
    if "data_dir" in given:
        return {"database_url": None, "database_direct_url": None}
    urls = {
        "database_url": given.get("database_url") or environment.get("LEDGERGRAPH_DATABASE_URL") or None,
        "database_direct_url": environment.get("LEDGERGRAPH_DATABASE_DIRECT_URL") or None,
    }
    for name, url in urls.items():
        if url is not None and not _is_postgres(url):
            key = "--database-url" if given.get(name) else f"LEDGERGRAPH_{name.upper()}"
            form = "must be of the form postgresql://user:password@host:5432/database, other characters percent-encoded"
            problems.add("", key, form)
    if urls["database_direct_url"] and not urls["database_url"]:
        problems.add("environment", "LEDGERGRAPH_DATABASE_DIRECT_URL", "needs LEDGERGRAPH_DATABASE_URL beside it")
    return {name: Secret(url) if url else None for name, url in urls.items()}


def _is_postgres(url: str) -> bool:
    """An address with any number of hosts, none for a socket that `?host=` names. A # would cut off all behind it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not url.startswith(("postgresql://", "postgres://")) or "#" in url:
        return False
    hosts = parts.netloc.rpartition("@")[2]
    found = [_HOST.fullmatch(host) for host in hosts.split(",")] if hosts else []
    return all(host is not None and int(host["port"] or 0) <= 65_535 for host in found)


def _read_jwt(environment: Mapping[str, str], problems: Problems) -> JwtSettings:
    secret = environment.get("LEDGERGRAPH_JWT_SECRET") or None
    jwks_url = environment.get("LEDGERGRAPH_JWKS_URL") or None
    stated = {
        name: environment[f"LEDGERGRAPH_JWT_{name.upper()}"]
        for name in ("issuer", "audience")
        if environment.get(f"LEDGERGRAPH_JWT_{name.upper()}")
    }
    if secret and jwks_url:
        problems.add("environment", "LEDGERGRAPH_JWT_SECRET", "must not be set together with LEDGERGRAPH_JWKS_URL")
    if secret and len(secret.encode()) < SHORTEST_SECRET:
        problems.add("environment", "LEDGERGRAPH_JWT_SECRET", f"must be at least {SHORTEST_SECRET} bytes long")
    if jwks_url:
        _check_jwks(jwks_url, stated, problems)
    return JwtSettings(secret=Secret(secret) if secret else None, jwks_url=jwks_url, **stated)


def _check_jwks(url: str, stated: Mapping[str, str], problems: Problems) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        problems.add(
            "environment", "LEDGERGRAPH_JWKS_URL", "must be an https:// address (http:// on this machine only)"
        )
    for name in ("issuer", "audience"):
        if name not in stated:
            problems.add(
                "environment", f"LEDGERGRAPH_JWT_{name.upper()}", f"must be the {name} of your tokens when JWKS is used"
            )


def _read_server(table: Mapping[str, Any], given: Mapping[str, Any], where: str, problems: Problems) -> ServerSettings:
    known = [item.name for item in fields(ServerSettings)]
    unknown_keys(table, known, where, "[server] ", problems)
    values: dict[str, Any] = {}
    for name in known:
        value = given.get(name, table.get(name, MISSING))
        if value is MISSING:
            continue
        place, key = ("command line", f"--{name}") if name in given else (where, f"[server] {name}")
        values[name] = _server_value(name, value, place, key, problems)
    return ServerSettings(**{name: value for name, value in values.items() if value is not None})


def _read_mapping(table: Mapping[str, Any], where: str, problems: Problems) -> dict[str, Path]:
    """Absolute paths, whether or not there is such a file; relative ones start at the settings file's folder."""
    found = {}
    for code, value in table.items():
        key = f"[mapping] {code}"
        if not NAME.fullmatch(code):
            problems.add(where, key, "must be the code of the ledger that the rules are for, of a-z, 0-9, _ and -")
        text = take_text(value, where, key, problems)
        if text is not None and (path := absolute(text, Path(where).parent, "file", where, key, problems)):
            found[code] = Path(path)
    return found


def _server_value(name: str, value: Any, where: str, key: str, problems: Problems) -> Any:
    if name in _WHOLE_FROM:
        least, most = _WHOLE_FROM[name], _WHOLE_TO[name]
        if type(value) is not int or not least <= value <= most:
            return problems.add(where, key, f"must be a whole number from {least} to {most}, not {value!r}")
        return value
    if name == "compression":
        return value if isinstance(value, bool) else problems.add(where, key, f"must be true or false, not {value!r}")
    if name in ("cors_origins", "forwarded_allow_ips"):
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
            return problems.add(where, key, 'must be a list of texts, as ["https://books.example"]')
        return tuple(value)
    if name == "log_level" and value not in _LOG_LEVELS:
        return problems.add(where, key, f"must be one of {', '.join(_LOG_LEVELS)}, not {value!r}")
    return take_text(value, where, key, problems)


def _read_limits(table: Mapping[str, Any], where: str, problems: Problems) -> Limits:
    kinds = {item.name: float if "float" in str(item.type) else int for item in fields(Limits)}
    unknown_keys(table, list(kinds), where, "[limits] ", problems)
    values: dict[str, Any] = {}
    for name in (name for name in table if name in kinds):
        value = table[name]
        least = 0 if name in CACHES else 1
        if kinds[name] is int and (type(value) is not int or value < least):
            problems.add(where, f"[limits] {name}", f"must be a whole number from {least} on, not {value!r}")
        elif kinds[name] is float and (type(value) not in (int, float) or not 0 < value < float("inf")):
            problems.add(where, f"[limits] {name}", f"must be a number of seconds above 0, not {value!r}")
        else:
            values[name] = kinds[name](value)
    return Limits(**values)
