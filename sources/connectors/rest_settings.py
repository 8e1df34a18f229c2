"""What the settings say of an API that is read without code: checked once, told with the key that is wrong. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from sources.errors import ConfigurationError
from sources.plain_documents import KINDS

MAX_PAGE_SIZE = 10_000

_NO_PAGING: Final[Mapping[str, Any]] = {"style": "none"}
_STYLES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "none": ((), ()),
    "page": (("param",), ("first", "size", "size_param")),
    "offset": (("param",), ("size", "size_param")),
    "cursor": (("param", "next"), ("size", "size_param")),
    "link": ((), ("size", "size_param")),
    "next_url": (("next",), ("size", "size_param")),
}
"""Paging styles: the settings that each needs, and may have."""
_AUTHENTICATIONS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "bearer": (("token",), ()),
    "header": (("name", "value"), ()),
    "basic": (("user", "password"), ()),
    "client_credentials": (("token_url", "client_id", "client_secret"), ("scope",)),
}
_PLACE = re.compile(r"\{([a-z_]+)\}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Paging:
    """How one page follows another. `next`: where in the answer the next cursor or address stands."""

    style: str = "none"
    param: str = ""
    next: Any = None
    first: int = 1
    size: int | None = None
    size_param: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """How to ask for what changed. `param`: takes the moment; `field`: where in a record it stands; `overlap`: seconds that are
    asked for once more, for what was committed late; `epoch`: moments are seconds since 1970."""

    param: str
    field: Any
    overlap: float = 300.0
    epoch: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """One listing of an API and the documents in it. Paths and tests are compiled JMESPath."""

    kind: str
    list: str
    items: Any
    item: str | None
    item_id: Any
    item_at: Any
    params: Mapping[str, str]
    paging: Paging
    changed: Changed | None
    deleted: Any
    skip: Any
    minor_units: bool
    fields: Mapping[str, Any]
    fixed: Mapping[str, Any]
    values: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Authentication:
    """`style` and its settings, which are secrets for the most part."""

    style: str
    settings: Mapping[str, str] = field(repr=False)


def read_documents(name: str, given: Any) -> tuple[Declared, ...]:
    """The `[[sources.documents]]` tables. Raises ConfigurationError."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise ConfigurationError(f"sources.{name}.documents must be tables, each written [[sources.documents]]")
    return tuple([_Table(f"sources.{name}.documents[{number}]", each).declared() for number, each in enumerate(given)])


def read_authentication(name: str, given: Any) -> Authentication | None:
    """The `[sources.authentication]` table. Raises ConfigurationError."""
    if given is None:
        return None
    table = _Table(f"sources.{name}.authentication", given)
    style = table.choice("style", _AUTHENTICATIONS)
    required, optional = _AUTHENTICATIONS[style]
    table.only(("style", *required, *optional))
    settings = {key: table.text(key) for key in required} | {
        key: table.text(key) for key in optional if key in table.given
    }
    if style == "header" and not _HEADER.fullmatch(settings["name"]):
        table.wrong("name", "must be the name of a header")
    if not all(value.isprintable() for value in settings.values()):
        table.wrong("style", "has a setting that is not printable")
    return Authentication(style, settings)


def digest(given: Any) -> str:
    """A short mark of declarations: another one when they change."""
    return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()[:16]


class _Table:
    """One table of the settings and where it stands."""

    def __init__(self, place: str, given: Any) -> None:
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"{place} must be a table")
        self.place = place
        self.given = given

    def wrong(self, key: str, rule: str) -> None:
        raise ConfigurationError(f"{self.place}.{key} {rule}")

    def only(self, known: Sequence[str]) -> None:
        for key in sorted(self.given):
            if key not in known:
                self.wrong(key, f"is not a setting; there are {', '.join(known)}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str) or not value:
            self.wrong(key, "is missing" if value is None else "must be a text")
        return str(value)

    def choice(self, key: str, known: Mapping[str, Any]) -> str:
        value = self.text(key)
        if value not in known:
            self.wrong(key, f"must be one of {', '.join(known)}, not {value!r}")
        return value

    def table(self, key: str) -> _Table:
        return _Table(f"{self.place}.{key}", self.given.get(key, {}))

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.given.get(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            self.wrong(key, f"must be a number from {least:g} to {most:g}, not {value!r}")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self.given.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, "must be true or false")
        return bool(value)

    def expression(self, key: str, default: str | None = None) -> Any:
        """A compiled JMESPath; None: it is not stated."""
        if key not in self.given and default is None:
            return None
        text = self.text(key, default)
        try:
            return jmespath.compile(text)
        except JMESPathError as error:
            return self.wrong(key, f"is no JMESPath: {' '.join(str(error).split())[:120]}")

    def path(self, key: str) -> str:
        value = self.text(key)
        if not value.startswith("/") or "://" in value or "?" in value or "#" in value:
            self.wrong(key, "must be a path that starts with /, without a query: those are params")
        return value

    def declared(self) -> Declared:
        """This table as a listing."""
        self.only([each.name for each in dataclass_fields(Declared)] + ["amounts"])
        kind = self.choice("kind", KINDS)
        amounts = self.text("amounts", "decimal")
        if amounts not in ("decimal", "minor"):
            self.wrong("amounts", 'must be "decimal" or "minor"')
        known = {each.name for each in dataclass_fields(KINDS[kind])} - {"raw"}
        fixed = self.table("fixed")
        fields = self.table("fields")
        for table in (fields, fixed, self.table("values")):
            table.only(sorted(known))
        item = self.path("item") if "item" in self.given else None
        if item is not None and _PLACE.findall(item) != ["id"]:
            self.wrong("item", "must have {id} in the place of the record's id")
        return Declared(
            kind=kind,
            list=self.path("list"),
            items=self.expression("items", "@"),
            item=item,
            item_id=self.expression("item_id", "id"),
            item_at=self.expression("item_at", "@"),
            params=self._params(),
            paging=_paging(self),
            changed=_changed(self),
            deleted=self.expression("deleted"),
            skip=self.expression("skip"),
            minor_units=amounts == "minor",
            fields={name: fields.expression(name) for name in fields.given},
            fixed=dict(fixed.given),
            values={name: self._words(name) for name in self.table("values").given},
        )

    def _params(self) -> dict[str, str]:
        params = self.table("params").given
        for key, value in params.items():
            if not isinstance(value, (str, int)) or isinstance(value, bool):
                self.wrong(f"params.{key}", "must be a text or a whole number")
        return {str(key): str(value) for key, value in params.items()}

    def _words(self, name: str) -> Mapping[str, Any]:
        return self.table("values").table(name).given


def _paging(declared: _Table) -> Paging:
    table = _Table(f"{declared.place}.paging", declared.given.get("paging", _NO_PAGING))
    style = table.choice("style", _STYLES)
    required, optional = _STYLES[style]
    table.only(("style", *required, *optional))
    size = int(table.number("size", 100, 1, MAX_PAGE_SIZE)) if "size" in table.given else None
    return Paging(
        style=style,
        param=table.text("param") if "param" in required else "",
        next=table.expression("next", None if "next" not in required else table.text("next")),
        first=int(table.number("first", 1, 0, 1)),
        size=size,
        size_param=table.text("size_param") if "size_param" in table.given else "",
    )


def _changed(declared: _Table) -> Changed | None:
    if "changed" not in declared.given:
        return None
    table = declared.table("changed")
    table.only(("param", "field", "overlap", "epoch"))
    return Changed(
        param=table.text("param"),
        field=table.expression("field", table.text("field")),
        overlap=table.number("overlap", 300, 0, 86_400),
        epoch=table.truth("epoch"),
    )
