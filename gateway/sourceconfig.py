"""The `[[sources]]` tables of the settings file: which source systems there are, and how to reach them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.values import Problems, Secret, take_text, unknown_keys
from sources.connectors.kinds import ConnectorKind
from sources.connectors.registry import KINDS
from sources.documents import Connector
from sources.errors import ConfigurationError
from sources.ledger.rules import FIRST_DATE, LAST_DATE
from sources.mirror.settings import SourceSettings, compact

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""The form of a source's name, and of a ledger's code."""
_LONGEST_AGE = 10 * 365 * 86_400
_COMMON = ("name", "kind", "ledger", "max_age", "accounts", "post_from", "every", "webhook_secrets")
_SHORTEST_PERIOD = 1
_MOST_SECRETS = 5


def read_sources(
    tables: Any,
    folder: Path,
    environment: Mapping[str, str],
    where: str,
    problems: Problems,
    only: Collection[str] | None = None,
) -> tuple[SourceSettings, ...]:
    """The sources in the order of the file, of these names `only`; relative paths start at `folder`. Mistakes go to `problems`."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.add(where, "sources", "must be tables, each written [[sources]]")
        return ()
    reader = _Reader(folder, environment, where, problems)
    asked = [(number, table) for number, table in enumerate(tables, 1) if only is None or table.get("name") in only]
    found = [reader.source(table, number) for number, table in asked]
    sources = tuple(source for source in found if source)
    names = [source.name for source in sources]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(where, f'[[sources]] name = "{name}"', "must be unique, and stands in several tables")
    return sources


def connector_for(source: SourceSettings) -> Connector:
    """The source's connector, constructed without I/O. Raises ConfigurationError for options that cannot work."""
    options: dict[str, Any] = dict(source.options)
    if "path" in options:
        options["path"] = Path(options["path"])
    return KINDS[source.kind].connector(name=source.name, **options)


def absolute(text: str, folder: Path, kind: str, where: str, key: str, problems: Problems) -> str | None:
    """A path that starts at `folder` where it is relative; None and a problem for ~someone who has no account here."""
    try:
        return os.path.abspath(folder / Path(text).expanduser())
    except RuntimeError:
        problems.add(where, key, f"must be a {kind}, and {text.partition('/')[0]} is nobody's home on this machine")
        return None


class _Reader:
    def __init__(self, folder: Path, environment: Mapping[str, str], where: str, problems: Problems) -> None:
        self._folder = folder
        self._environment = environment
        self._where = where
        self._problems = problems

    def source(self, table: Mapping[str, Any], number: int) -> SourceSettings | None:
        name = table.get("name")
        prefix = f"[[sources]] {name if isinstance(name, str) else f'number {number}'}: "
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self._wrong(prefix + "name", "must be of a-z, 0-9, _ and -, at most 63, and not begin with _ or -")
            return None
        kind = KINDS.get(str(table.get("kind")))
        if kind is None:
            self._wrong(prefix + "kind", f"must be one of {', '.join(KINDS)}, not {table.get('kind')!r}")
            return None
        before = len(self._problems)
        options = self._options(kind, table, prefix)
        source = SourceSettings(
            name=name,
            kind=str(table["kind"]),
            ledger=self._ledger(table.get("ledger"), prefix + "ledger"),
            options=options,
            accounts=self._accounts(table.get("accounts", {}), kind, options, prefix),
            post_from=self._post_from(table.get("post_from"), prefix + "post_from"),
            every=self._seconds(table.get("every"), _SHORTEST_PERIOD, prefix + "every"),
            webhook_secrets=self._webhook_secrets(table.get("webhook_secrets"), kind, prefix + "webhook_secrets"),
            **self._max_age(table, prefix),
        )
        if len(self._problems) == before:
            self._try(source)
        return source

    def _try(self, source: SourceSettings) -> None:
        """What its connector says of its options, here and not when it is first used: so all mistakes are told at once."""
        try:
            connector_for(source)
        except ConfigurationError as error:
            for line in str(error).splitlines():
                self._problems.add(self._where, "", line)

    def _wrong(self, key: str, rule: str) -> None:
        self._problems.add(self._where, key, rule)

    def _ledger(self, value: Any, key: str) -> str:
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        self._wrong(key, f"must be the code of the ledger that its documents belong to, not {value!r}")
        return ""

    def _max_age(self, table: Mapping[str, Any], prefix: str) -> dict[str, float]:
        value = self._seconds(table.get("max_age"), 0, prefix + "max_age")
        return {} if value is None else {"max_age": value}

    def _seconds(self, value: Any, least: int, key: str) -> float | None:
        if value is None:
            return None
        if type(value) not in (int, float) or not least <= value <= _LONGEST_AGE:
            self._wrong(key, f"must be a number of seconds from {least} to {_LONGEST_AGE}, not {value!r}")
            return None
        return float(value)

    def _webhook_secrets(self, value: Any, kind: ConnectorKind, key: str) -> tuple[str, ...]:
        """One, or several while one takes another's place."""
        if value is None:
            return ()
        if kind.verify is None:
            self._wrong(key, "is not a setting of this kind, which sends no webhooks")
            return ()
        given = value if isinstance(value, list) else [value]
        if not 0 < len(given) <= _MOST_SECRETS:
            self._wrong(key, f"must be one to {_MOST_SECRETS} secrets")
            return ()
        found = [self._secret(each, key) for each in given]
        return tuple(secret for secret in found if secret is not None)

    def _secret(self, value: Any, key: str) -> Secret | None:
        if not isinstance(value, str) or not value.startswith("env:"):
            self._wrong(key, 'must be "env:NAME", the name of an environment variable that holds the secret')
            return None
        return self._from_environment(value.removeprefix("env:"), key)

    def _post_from(self, value: Any, key: str) -> date | None:
        if value is None or (type(value) is date and FIRST_DATE <= value <= LAST_DATE):
            return value
        shown = repr(value) if isinstance(value, str) else value
        rule = f"must be a day from {FIRST_DATE} to {LAST_DATE}, written without quotes as 2026-01-01, not {shown}"
        self._wrong(key, rule)
        return None

    def _accounts(self, value: Any, kind: ConnectorKind, options: Mapping[str, Any], prefix: str) -> dict[str, str]:
        if not isinstance(value, dict):
            self._wrong(prefix + "accounts", "must be a table from a bank account or tenant to a ledger's code")
            return {}
        if value and not kind.takes_accounts:
            self._wrong(
                prefix + "accounts", f"is not a setting of {kind.name}, all of whose documents belong to ledger"
            )
        names = Counter(compact(account) for account in value)
        for account in value:
            key = f"{prefix}accounts.{account}"
            if not compact(account):
                self._wrong(key, "must be a bank account or a tenant, not blank")
            elif names[compact(account)] > 1:
                self._wrong(key, "must stand there once, and is written in several ways")
            elif kind.tenant and account != options.get(kind.tenant, account):
                self._wrong(key, f"must be the source's {kind.tenant}, the only one whose documents it gives")
        return {account: self._ledger(code, f"{prefix}accounts.{account}") for account, code in value.items()}

    def _options(self, kind: ConnectorKind, table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        unknown_keys(table, (*_COMMON, *kind.texts, *kind.tables), self._where, prefix, self._problems)
        for key in kind.required:
            if key not in table:
                self._wrong(prefix + key, "is missing" + (', write it as "env:NAME"' if key in kind.secrets else ""))
        for group in kind.one_of:
            given = [key for key in group if key in table]
            if not given:
                self._wrong(prefix + group[0], f"is missing, or {' or '.join(group[1:])} in its place")
            elif len(given) > 1:
                self._wrong(prefix + given[1], f"cannot stand beside {given[0]}")
        values = {key: self._option(key, table[key], kind, prefix + key) for key in kind.texts if key in table}
        tables = {key: self._resolved(table[key], prefix, key, kind.secrets) for key in kind.tables if key in table}
        return {key: value for key, value in (values | tables).items() if value is not None}

    def _resolved(self, value: Any, prefix: str, key: str, secrets: Sequence[str]) -> Any:
        """A table's value, with the secrets that it names in place of their names."""
        if isinstance(value, Mapping):
            return {name: self._resolved(each, prefix, f"{key}.{name}", secrets) for name, each in value.items()}
        if isinstance(value, list):
            return [self._resolved(each, prefix, f"{key}[{at}]", secrets) for at, each in enumerate(value)]
        if key in secrets:
            return self._secret(value, prefix + key)
        if isinstance(value, str) and value.startswith("env:"):
            return self._from_environment(value.removeprefix("env:"), prefix + key)
        return value

    def _option(self, key: str, value: Any, kind: ConnectorKind, place: str) -> str | None:
        text = take_text(value, self._where, place, self._problems)
        if text is None:
            return None
        if text.startswith("env:"):
            text = self._from_environment(text.removeprefix("env:"), place)
        elif key in kind.secrets:
            self._wrong(place, 'must be "env:NAME", the name of an environment variable that holds the secret')
            return None
        if text is not None and key.endswith("_url") and not _is_http(text):
            self._wrong(place, "must be an http:// or https:// address")
            return None
        if text is not None and key == "path":
            return self._path(text, place)
        return text

    def _path(self, text: str, place: str) -> str | None:
        # One folder has one name, however the settings file was named: a copy belongs to the folder it was read from.
        return absolute(text, self._folder, "folder", self._where, place, self._problems)

    def _from_environment(self, name: str, place: str) -> Secret | None:
        value = self._environment.get(name)
        if not value:
            self._wrong(place, f"names the environment variable {name}, which is not set")
            return None
        return Secret(value)


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
