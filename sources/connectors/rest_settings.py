"""What the settings say of an API that is read without code: checked once, each mistake told with the key that it stands under. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import date, datetime
from typing import Any, Final

from sources.connectors.rest_expressions import Expression
from sources.connectors.rest_table import Table
from sources.errors import ConfigurationError
from sources.plain_documents import KINDS, InvalidDocument, read_document

MAX_PAGE_SIZE = 10_000
LONGEST_REACH = 36_600
"""Days."""

_STYLES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "none": ((), ("total",)),
    "page": ((), ("param", "first", "size", "size_param", "more", "total", "past_end")),
    "offset": ((), ("param", "first", "size", "size_param", "more", "total", "past_end")),
    "cursor": (("next",), ("param", "size", "size_param", "total")),
    "link": ((), ("size", "size_param", "total")),
    "next_url": (("next",), ("size", "size_param", "total")),
}
"""Paging styles: the settings that each needs, and may have."""
_ASKING = ("page", "offset", "cursor")
"""Styles that ask for a page by a value, and not by an address."""
_SETTINGS = (
    "kind", "list", "items", "item", "item_id", "item_at", "parts", "params", "body", "paging", "changed", "absent", "deleted",
    "skip", "amounts", "zone", "fields", "fixed", "values",
)  # fmt: skip
_FORMATS = ("iso", "epoch", "epoch_ms")
_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Paging:
    """How one page follows another. `param`: takes the page, offset or cursor; "": {next} stands in the request. `next`: where in the
    answer the next cursor or address stands; `more`: true while another page follows; `total`: how many records there are;
    `past_end`: the status that stands for an empty page."""

    style: str = "none"
    param: str = ""
    next: Expression | None = None
    more: Expression | None = None
    total: Expression | None = None
    first: int = 0
    size: int | None = None
    size_param: str = ""
    past_end: int | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """How to ask for what changed. `param`: takes the moment, "": {since} stands in the request; `field`: where in a record it
    stands, None: everything since `start` is read each time; `overlap`: seconds that are asked for once more, for what was committed
    late; `format`: iso, epoch, epoch_ms or a form of strftime. `start`: where everything begins, a day, or so many days ago."""

    param: str = ""
    field: Expression | None = None
    overlap: float = 300.0
    format: str = "iso"
    start: date | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A listing of an API. `list`: its path; `items`: where its records are; `params`: of the query, names may repeat; `body`: of a POST,
    None: it is a GET."""

    list: str
    items: Expression
    params: tuple[tuple[str, str], ...]
    body: Any = None
    paging: Paging = Paging()
    changed: Changed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared(Listed):
    """A listing and the documents in it. `parts`: further answers about each record, by the name that they get in it: a path, or a listing
    whose path has the record's id. `keeps_absent`: what it does not list is not gone."""

    kind: str
    item: str | None
    item_id: Expression
    item_at: Expression
    parts: Mapping[str, str | Listed]
    keeps_absent: bool
    deleted: Expression | None
    skip: Expression | None
    minor_units: bool
    fields: Mapping[str, Expression]
    fixed: Mapping[str, Any]
    values: Mapping[str, Mapping[str, Any]]


def read_documents(name: str, given: Any, wrongs: list[str]) -> tuple[Declared, ...]:
    """The `[[sources.documents]]` tables."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        wrongs.append(f"sources.{name}.documents must be tables, each written [[sources.documents]]")
        return ()
    tables = [Table(f"sources.{name}.documents[{number}]", each, wrongs) for number, each in enumerate(given)]
    return tuple([_declared(table) for table in tables])


def digest(given: Any) -> str:
    """A short mark of declarations: another one when they change."""
    return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()[:16]


def raise_all(wrongs: Sequence[str]) -> None:
    """Raises ConfigurationError, a line for each."""
    if wrongs:
        raise ConfigurationError("\n".join(wrongs))


def _declared(table: Table) -> Declared:
    table.only(_SETTINGS)
    table.zone = table.time_zone("zone")
    paging, changed, body = _paging(table), _changed(table), _body(table)
    params = _params(table)
    _check_places(table, paging, changed, [*(value for _, value in params), *_texts(body)])
    items = table.needed("items", "@")
    if items.filters and paging.style in ("page", "offset"):
        table.wrong("items", "must not filter: what is left out would look like the listing's end; use skip")
    kind, absent = table.choice("kind", KINDS), table.choice("absent", ("deleted", "kept"), "deleted")
    if changed is not None and type(changed.start) is int and absent == "deleted":
        table.wrong("absent", 'must be "kept" where changed.start is a number of days: what is older is not gone')
    fields, fixed, values = _document(table, kind)
    return Declared(
        kind=kind,
        list=table.path("list"),
        items=items,
        item=_path_of_one(table, "item") if "item" in table else None,
        item_id=table.needed("item_id", "id"),
        item_at=table.needed("item_at", "@"),
        parts=_parts(table),
        params=params,
        body=body,
        paging=paging,
        changed=changed,
        keeps_absent=absent == "kept",
        deleted=table.expression("deleted"),
        skip=table.expression("skip"),
        minor_units=table.choice("amounts", ("decimal", "minor"), "decimal") == "minor",
        fields=fields,
        fixed=fixed,
        values=values,
    )


def _path_of_one(table: Table, key: str) -> str:
    path = table.path(key)
    if _PLACE.findall(path) != ["id"]:
        table.wrong(key, "must have {id}, once, in the place of the record's id")
    return path


def _parts(declared: Table) -> Mapping[str, str | Listed]:
    """A path, whose answer is taken as it is, or a table of a listing with pages."""
    parts = declared.table("parts")
    return {
        name: _listed(parts.table(name)) if isinstance(given, Mapping) else _path_of_one(parts, name)
        for name, given in parts.given.items()
    }


def _listed(part: Table) -> Listed:
    part.only(("list", "items", "params", "paging"))
    paging, params = _paging(part), _params(part)
    _check_places(part, paging, None, [value for _, value in params])
    return Listed(list=_path_of_one(part, "list"), items=part.needed("items", "@"), params=params, paging=paging)


def _document(table: Table, kind: str) -> tuple[dict[str, Expression], Mapping[str, Any], dict[str, Mapping[str, Any]]]:
    fields, fixed, values = table.table("fields"), table.table("fixed"), table.table("values")
    known = sorted({each.name for each in dataclass_fields(KINDS[kind])} - {"raw", "warnings"})
    for each in (fields, fixed, values):
        each.only(known)
    paths = {name: fields.needed(name) for name in fields.given if name in known}
    stated = {name: value for name, value in fixed.given.items() if name in known}
    if "external_id" in stated:
        fixed.wrong("external_id", "would be the same for every record: say in fields where it stands")
    words = {name: values.table(name) for name in values.given if name in known}
    for name, each in words.items():
        if name not in paths:
            values.wrong(name, f"gives words for a field that is not read: add fields.{name}")
        for word, ours in each.given.items():
            for path, fault in _faults(kind, {name: ours}):
                if path == (name,):
                    each.wrong(word, fault)
    for path, fault in _faults(kind, stated):
        if path[0] in stated:
            fixed.wrong(".".join(path), fault)
    missing = [path[0] for path, fault in _faults(kind, dict.fromkeys({*paths, *stated}, "1")) if fault == "is missing"]
    for name in missing:
        fields.wrong(name, "is missing: every document has one; say where it stands, or give it in fixed")
    return paths, stated, {name: each.given for name, each in words.items()}


def _faults(kind: str, given: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the fields of a document: path and reason."""
    try:
        read_document(kind, given)
    except InvalidDocument as invalid:
        stated = [each for each in invalid.faults if each.path[0] in given or each.code == "MISSING"]
        return [(each.path, each.message) for each in stated]
    return []


def _params(declared: Table) -> tuple[tuple[str, str], ...]:
    """A list of values is sent as one parameter for each."""
    table, found = declared.table("params"), list[tuple[str, str]]()
    for key, value in table.given.items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, (str, int)):
                table.wrong(key, "must be a text, a whole number, true or false, or a list of them")
                break
            found.append((key, ("true" if each else "false") if isinstance(each, bool) else str(each)))
    return tuple(found)


def _body(declared: Table) -> Any:
    if "body" not in declared:
        return None
    return declared.table("body").given


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _check_places(declared: Table, paging: Paging, changed: Changed | None, texts: Sequence[str]) -> None:
    """{next}, {size} and {since} stand where a value that is declared is to go."""

    def stands(place: str) -> bool:
        return any(place in text for text in texts)

    table = declared.table("paging")
    if paging.style in _ASKING and stands("{next}") == bool(paging.param):
        rule = (
            "cannot stand beside {next} in params or body"
            if paging.param
            else "is missing, or {next} in params or body"
        )
        table.wrong("param", rule)
    if paging.size is not None and not paging.size_param and not stands("{size}"):
        table.wrong("size", "is not asked for: give size_param, or write {size} in params or body")
    if paging.size is None and (paging.size_param or stands("{size}")):
        table.wrong("size", "is missing: how many records a page is to have")
    if changed is not None and stands("{since}") == bool(changed.param):
        rule = (
            "cannot stand beside {since} in params or body"
            if changed.param
            else "is missing, or {since} in params or body"
        )
        declared.table("changed").wrong("param", rule)
    if changed is None and (stands("{since}") or stands("{now}")):
        declared.wrong("changed", "is missing: it says what {since} and {now} are")


def _paging(declared: Table) -> Paging:
    if "paging" not in declared:
        return Paging()
    table = declared.table("paging")
    style = table.choice("style", _STYLES)
    required, optional = _STYLES[style]
    if table.given.get("style") == style:
        table.only(("style", *required, *optional))
    if "more" in table and "total" in table:
        table.wrong("total", "cannot stand beside more: one of them tells where the listing ends")
    return Paging(
        style=style,
        param=table.text("param") if "param" in table else "",
        next=table.needed("next") if "next" in required else None,
        more=table.expression("more"),
        total=table.expression("total"),
        first=int(table.number("first", 1 if style == "page" else 0, 0, 1)),
        size=int(table.number("size", 100, 1, MAX_PAGE_SIZE)) if "size" in table else None,
        size_param=table.text("size_param") if "size_param" in table else "",
        past_end=int(table.number("past_end", 404, 400, 499)) if "past_end" in table else None,
    )


def _changed(declared: Table) -> Changed | None:
    if "changed" not in declared:
        return None
    table = declared.table("changed")
    table.only(("param", "field", "overlap", "format", "start"))
    form, start = table.text("format", "iso"), table.given.get("start")
    if form not in _FORMATS and not _is_written(form):
        table.wrong(
            "format", f"must be one of {', '.join(_FORMATS)} or a form such as %Y-%m-%dT%H:%M:%SZ, not {form!r}"
        )
    if "field" not in table and start is None:
        table.wrong(
            "field", "is missing: where a record says when it changed; without it, start says since when to read"
        )
    if start is not None and type(start) is not date and (type(start) is not int or not 1 <= start <= LONGEST_REACH):
        table.wrong(
            "start", f"must be a day, written 2026-01-01 without quotes, or a number of days from 1 to {LONGEST_REACH}"
        )
        start = None
    return Changed(
        param=table.text("param") if "param" in table else "",
        field=table.expression("field"),
        overlap=table.number("overlap", 300, 0, 864_000),
        format=form,
        start=start,
    )


def _is_written(form: str) -> bool:
    try:
        return datetime(2026, 2, 1).strftime(form) != datetime(2027, 3, 2).strftime(form) and form.isprintable()
    except ValueError:
        return False
