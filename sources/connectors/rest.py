"""Any JSON API over HTTP, read as the settings declare it: listings, paging, what changed, and where in a record each field of a
document stands (JMESPath, https://jmespath.org/specification.html). See docs/connectors.md.

What a pull reads: of a listing with `changed` what changed since the newest moment that a record stated, less the overlap; every
24 hours, and where the declarations changed, everything. Of other listings everything, each time.

Deletions: a record for which `deleted` is true, and, after a pull that read every listing whole, whatever no listing mentioned.
A listing by pages or offsets of more than one page is always read twice, because a record that goes away, or changes, meanwhile
moves others over the edge of a page; what either reading mentions counts. A listing that ends early is no listing: the pull fails.

What `maxAge: 0` guarantees: what the API's listings showed when the pull began.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from jmespath.exceptions import JMESPathError
from yarl import URL

from sources.connectors.client_credentials import ClientCredentials
from sources.connectors.http import Auth, Headers, HttpOptions, SourceHttp, bearer
from sources.connectors.kinds import ConnectorKind
from sources.connectors.rest_settings import (
    Authentication,
    Declared,
    Paging,
    digest,
    read_authentication,
    read_documents,
)
from sources.documents import Deletion, Document, Page, Payslip, Problem
from sources.errors import ConfigurationError, SourceUnavailable
from sources.plain_documents import InvalidDocument, read_document
from sources.texts import clean, plain

RELIST_SECONDS = 86_400.0
"""After so long everything is read again, so that deletions show."""

MAX_PAGES = 10_000
_AT_ONCE = 8
_UNREADABLE = "UNREADABLE_RECORD"


@dataclass(frozen=True, slots=True)
class _Cursor:
    """`declared`: of the declarations that it was made under. `marks`: by position of the listing, the newest moment that a record
    stated, in seconds since 1970. `listed_at`: when everything was read last."""

    declared: str
    marks: Mapping[str, float]
    listed_at: float

    def text(self) -> str:
        return json.dumps({"declared": self.declared, "marks": dict(self.marks), "listed_at": self.listed_at})


@dataclass(slots=True)
class _Reading:
    """What one reading of a listing found."""

    documents: list[Document] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    newest: float = 0.0


class RestConnector:
    """One API. Constructed without I/O. Raises ConfigurationError.

    `account`: whose documents the address gives, where another account may come to stand behind it. `documents`, `authentication`: as the settings say (`rest_settings`). `clock`: seconds since 1970."""

    restated_problems = ()

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        account: str = "",
        documents: Any = None,
        authentication: Any = None,
        http: HttpOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        del account  # of the settings' route alone
        self._subject = f"Source {name!r}"
        self._declared = read_documents(name, documents)
        self._digest = digest(documents)
        self._clock = clock
        auth, self._tokens = _auth(name, read_authentication(name, authentication), http)
        self._http = SourceHttp(name=name, base_url=base_url, auth=auth, options=http)
        self._base = URL(base_url.rstrip("/"))
        self.lists_everything = False
        """Whether the last pull read everything that there is."""

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of documents; the cursor moves on with the last one. Raises SourceUnavailable."""
        now, found = self._clock(), _load(cursor, self._digest)
        whole = found is None or now - found.listed_at >= RELIST_SECONDS
        self.lists_everything = whole or all(declared.changed is None for declared in self._declared)
        marks = dict(found.marks) if found is not None else {}
        for number, declared in enumerate(self._declared):
            since = None if whole or declared.changed is None else marks.get(str(number))
            async for reading in self._listing(declared, since):
                yield Page(
                    documents=reading.documents,
                    cursor=cursor,
                    deletions=reading.deletions,
                    problems=reading.problems,
                    unread=reading.unread,
                )
                # A record from the future must not keep those of today from being asked for.
                marks[str(number)] = min(max(marks.get(str(number), 0.0), reading.newest), now)
        listed_at = now if found is None or whole else found.listed_at
        yield Page(documents=(), cursor=_Cursor(self._digest, marks, listed_at).text(), complete=True)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: payslips come with their run."""
        return None

    async def close(self) -> None:
        """Closes the sessions."""
        await self._http.close()
        if self._tokens is not None:
            await self._tokens.close()

    async def _listing(self, declared: Declared, since: float | None) -> AsyncIterator[_Reading]:
        pages = 0
        async for records in self._pages(declared, since):
            pages += 1
            yield await self._read(declared, records)
        if pages > 1 and declared.paging.style in ("page", "offset"):
            async for records in self._pages(declared, since):
                yield await self._read(declared, records)

    async def _pages(self, declared: Declared, since: float | None) -> AsyncIterator[list[Any]]:
        paging = declared.paging
        path, params = declared.list, _first_params(declared, since)
        taken, seen = 0, set[str]()
        for number in range(MAX_PAGES):
            answer, headers = await self._http.get_json(path, params=params)
            records = self._records(declared, answer)
            yield records
            taken += len(records)
            following = self._following(declared, answer, headers, number, taken, records)
            if following is None:
                return
            if following in seen:
                raise SourceUnavailable(
                    f"{self._subject} gave the same page twice in {declared.list}: check its paging."
                )
            seen.add(following)
            if paging.style in ("link", "next_url"):
                path, params = self._address(following)
            else:
                params = {**params, paging.param: following}
        raise SourceUnavailable(f"{self._subject} listed more than {MAX_PAGES} pages in {declared.list}.")

    def _following(
        self, declared: Declared, answer: Any, headers: Headers, number: int, taken: int, records: Sequence[Any]
    ) -> str | None:
        try:
            return _next(declared.paging, answer, headers, number, taken, records)
        except ValueError as error:
            raise SourceUnavailable(f"{self._subject}, {declared.list}: {error}: check the setting.") from None

    def _records(self, declared: Declared, answer: Any) -> list[Any]:
        records = _search(declared.items, answer)
        if not isinstance(records, list):
            raise SourceUnavailable(
                f"{self._subject} answered {declared.list} without a list where `items` says that it is: check the setting."
            )
        return records

    def _address(self, text: str) -> tuple[str, dict[str, str]]:
        """A path under the source's own address, and its parameters."""
        try:
            url = self._base.join(URL(text)) if text.startswith("/") else URL(text)
            inside = url.origin() == self._base.origin() and url.path.startswith(self._base.path.rstrip("/") + "/")
        except ValueError:
            inside = False
        if not inside:
            raise SourceUnavailable(f"{self._subject} names a next page at another address, which is not followed.")
        return url.path[len(self._base.path.rstrip("/")) :], dict(url.query)

    async def _read(self, declared: Declared, records: Sequence[Any]) -> _Reading:
        reading = _Reading()
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            if declared.item is not None:
                some = await asyncio.gather(*(self._item(declared, record) for record in some))
            for record in some:
                _add(reading, declared, record)
        return reading

    async def _item(self, declared: Declared, record: Any) -> Any:
        """The whole record; one that is to be deleted or skipped is not asked for."""
        if _true(declared.deleted, record) or _true(declared.skip, record):
            return record
        identifier = _search(declared.item_id, record)
        if not isinstance(identifier, (str, int)) or not str(identifier).strip():
            return record
        if str(identifier) in (".", ".."):
            return record  # a step of a path, which would lead to another address
        path = (declared.item or "").replace("{id}", quote(clean(str(identifier)), safe=""))
        answer, _ = await self._http.get_json(path)
        return _search(declared.item_at, answer)


def _add(reading: _Reading, declared: Declared, record: Any) -> None:
    if declared.changed is not None:
        moment = _moment(_search(declared.changed.field, record), declared.changed.epoch)
        reading.newest = max(reading.newest, moment or 0.0)
    if _true(declared.skip, record):
        return
    values = {name: _search(path, record) for name, path in declared.fields.items()}
    for name, words in declared.values.items():
        if name in values:
            values[name] = words.get(_word(values[name]), values[name])
    values = {name: value for name, value in ({**declared.fixed, **values}).items() if value is not None}
    subject = f"{declared.kind.replace('_', ' ')} {str(values.get('external_id', '?'))[:80]}"
    if _true(declared.deleted, record):
        reading.deletions.append(Deletion(kind=declared.kind, external_id=str(values.get("external_id", ""))))
        return
    reason = ""
    try:
        # Names and wages of persons are behind a scope of their own, and what is kept beside a document is not.
        kept = isinstance(record, Mapping) and declared.kind != "payroll_run"
        raw = plain(record) if kept else {}
        reading.documents.append(read_document(declared.kind, values, raw=raw, minor_units=declared.minor_units))
    except InvalidDocument as invalid:
        reason = f"cannot be read: {str(invalid)[:1_500]}"
    except RecursionError:
        reason = "is nested too deeply"
    if reason:
        reading.problems.append(Problem(subject=subject, code=_UNREADABLE, message=f"The {subject} {reason}."))
        reading.unread.append((declared.kind, str(values.get("external_id", ""))))


def _search(path: Any, value: Any) -> Any:
    """None where an expression cannot be worked out for this value."""
    try:
        return path.search(value)
    except (JMESPathError, TypeError, ValueError, ArithmeticError):
        return None


def _true(test: Any, record: Any) -> bool:
    return test is not None and _search(test, record) not in (None, False, "", [], {})


def _word(value: Any) -> str:
    """As a TOML key writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _first_params(declared: Declared, since: float | None) -> dict[str, str]:
    paging, params = declared.paging, dict(declared.params)
    if paging.size is not None and paging.size_param:
        params[paging.size_param] = str(paging.size)
    if paging.style == "page":
        params[paging.param] = str(paging.first)
    elif paging.style == "offset":
        params[paging.param] = "0"
    if since and declared.changed is not None:
        params[declared.changed.param] = _stated(since - declared.changed.overlap, declared.changed.epoch)
    return params


def _next(paging: Paging, answer: Any, headers: Headers, number: int, taken: int, records: Sequence[Any]) -> str | None:
    """What leads to the next page; None: this is the last one. Raises ValueError where that cannot be told."""
    if paging.style in ("page", "offset"):
        if not records or (paging.size is not None and len(records) < paging.size):
            return None
        return str(paging.first + number + 1) if paging.style == "page" else str(taken)
    if paging.style in ("cursor", "next_url"):
        value = _search(paging.next, answer)
        if value is None or value is False or value == "":
            return None
        if isinstance(value, (str, int)) and value is not True:
            return str(value)
        # What follows would be taken for deleted.
        raise ValueError("what `paging.next` gives is neither a text nor a number")
    if paging.style == "link":
        return _linked(headers)
    return None


_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+\s*(?:=\s*(?:"[^"]*"|[^",;\s]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))', re.IGNORECASE)


def _linked(headers: Headers) -> str | None:
    """The target of rel="next" (RFC 8288), in whichever of the headers it stands."""
    stated = ", ".join(value for name, value in headers.items() if name.lower() == "link")
    for target, parameters in _LINK.findall(stated):
        relation = _REL.search(parameters)
        if relation is not None and "next" in (relation[1] or relation[2] or "").lower().split():
            return str(target)
    return None


def _moment(value: Any, epoch: bool) -> float | None:
    """Seconds since 1970; a time without an offset is UTC."""
    try:
        if epoch:
            number = isinstance(value, (int, str, Decimal)) and not isinstance(value, bool)
            seconds = float(value) if number else math.nan
            return seconds if math.isfinite(seconds) else None
        found = datetime.fromisoformat(str(value))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, ArithmeticError):
        return None


def _stated(moment: float, epoch: bool) -> str:
    whole = max(int(moment), 0)
    return str(whole) if epoch else datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _load(text: str | None, declared: str) -> _Cursor | None:
    """None: everything is to be read."""
    try:
        stored = json.loads(text or "null")
        found = _Cursor(stored["declared"], {str(k): float(v) for k, v in stored["marks"].items()}, stored["listed_at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.declared == declared and isinstance(found.listed_at, (int, float)) else None


def _auth(
    name: str, given: Authentication | None, options: HttpOptions | None
) -> tuple[Auth | None, ClientCredentials | None]:
    if given is None:
        return None, None
    settings = given.settings
    if given.style == "bearer":
        return bearer(settings["token"], f"sources.{name}.authentication.token"), None
    if given.style == "client_credentials":
        tokens = ClientCredentials(name=name, options=options, **{"scope": "", **settings})
        return tokens, tokens
    if given.style == "basic":
        if ":" in settings["user"]:
            raise ConfigurationError(f"sources.{name}.authentication.user must be without a colon (RFC 7617)")
        word = base64.b64encode(f"{settings['user']}:{settings['password']}".encode()).decode()
        headers = {"Authorization": f"Basic {word}"}
    else:
        headers = {settings["name"]: settings["value"]}

    async def give(_refused: Headers | None) -> Headers:
        return headers

    return give, None


KIND = ConnectorKind(
    name="rest",
    connector=RestConnector,
    gives=("invoice", "payment", "payroll_run", "bank_statement"),
    required=("base_url",),
    tables=("documents", "authentication"),
    optional=("account",),
    origin=("account",),
    example={
        "base_url": "https://api.example.com/v1",
        "documents": [
            {
                "kind": "invoice",
                "list": "/bills",
                "fields": {"external_id": "id", "total": "total", "currency": "currency", "status": "status"},
                "fixed": {"direction": "PAYABLE"},
            }
        ],
    },
)
