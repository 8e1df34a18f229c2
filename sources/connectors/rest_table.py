"""Reading one table of the settings of a declared API: what is wrong is gathered, each with the key that it stands under. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sources.connectors.rest_expressions import Expression

_NOTHING = Expression("`null`")


class Table:
    """One table and where it stands (`sources.shop.documents[0].paging`). What is wrong goes to `wrongs`, and what is given back in
    its place fits no request: nobody may use it once something is wrong. `zone`: of the expressions in it, and in its own tables."""

    def __init__(self, place: str, given: Any, wrongs: list[str], zone: tzinfo | None = None) -> None:
        self.place = place
        self.wrongs = wrongs
        self.zone = zone
        if not isinstance(given, Mapping):
            wrongs.append(f"{place} must be a table")
            given = {}
        self.given: Mapping[str, Any] = given

    def __contains__(self, key: str) -> bool:
        return key in self.given

    def wrong(self, key: str, rule: str) -> None:
        """`rule`: what the key must be, and what to do."""
        self.wrongs.append(f"{self.place}.{key} {rule}")

    def only(self, known: Iterable[str]) -> None:
        """No other keys than these may stand here."""
        known = list(known)
        for key in sorted(map(str, self.given.keys() - set(known))):
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
            self.wrong(key, f"is not a setting; {hint}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str) or not value:
            self.wrong(key, "is missing" if value is None else "must be a text that is not empty")
            return "?"
        return value

    def choice(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        value, known = self.text(key, default), list(known)
        if value not in known:
            if key in self.given:
                self.wrong(key, f"must be one of {', '.join(known)}, not {value!r}")
            return known[0]
        return value

    def table(self, key: str) -> Table:
        return Table(f"{self.place}.{key}", self.given.get(key, {}), self.wrongs, self.zone)

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.given.get(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            self.wrong(key, f"must be a number from {least:g} to {most:g}, not {value!r}")
            return default
        return float(value)

    def expression(self, key: str, default: str | None = None) -> Expression | None:
        """None: it is not stated."""
        if key not in self.given and default is None:
            return None
        return self.needed(key, default)

    def needed(self, key: str, default: str | None = None) -> Expression:
        """An expression that has to be stated."""
        before = len(self.wrongs)
        text = self.text(key, default)
        if len(self.wrongs) > before:
            return _NOTHING
        try:
            return Expression(text, self.zone)
        except ValueError as error:
            self.wrong(key, str(error))
            return _NOTHING

    def time_zone(self, key: str) -> tzinfo | None:
        """By its name in the IANA's database; None: it is not stated."""
        if key not in self.given:
            return None
        name = self.text(key)
        try:
            return ZoneInfo(name)
        except (ValueError, KeyError, OSError):
            close = difflib.get_close_matches(name, available_timezones(), n=1)
            hint = f"did you mean {close[0]}?" if close else "such as Europe/Berlin or America/New_York"
            self.wrong(key, f"must be the name of a time zone, not {name[:60]!r}; {hint}")
            return None

    def path(self, key: str) -> str:
        value = self.text(key)
        if value == "?":
            return value  # it was told of
        if not value.startswith("/") or "://" in value:
            self.wrong(key, "must be a path that starts with /, as it stands behind base_url")
        elif "?" in value or "#" in value:
            self.wrong(key, "must be a path without a query: what stands behind ? belongs into params")
        return value
