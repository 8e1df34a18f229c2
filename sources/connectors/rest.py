"""Any JSON API over HTTP, read as the settings declare it: listings, paging, what changed, and where in a record each field of a
document stands. See docs/connectors.md. `rest_settings` reads what is declared, `rest_listing` asks for pages, `rest_records` makes
documents, by the expressions of `rest_expressions`.

What a pull reads: of a listing with `changed.field` what changed since the newest moment that a record stated, less the overlap;
every 24 hours, and where the declarations changed, everything. Of other listings everything, each time.

Deletions: a record for which `deleted` is true, and, after a pull that read every listing whole, whatever no listing mentioned,
unless `absent` keeps it. A record that is listed and cannot be asked for or read is not gone: it is a problem, and the others are read.
It is asked for again by its `item`; without one it is read with everything. Where none of some records is given, and the listing
neither, it is the API that fails.

What `maxAge: 0` guarantees: what the API's listings showed when the pull began.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Any

from sources.connectors.each import each, is_of_all
from sources.connectors.http import HttpOptions, SourceHttp, SourceRefused
from sources.connectors.http_options import check_all, checked_base
from sources.connectors.kinds import ConnectorKind
from sources.connectors.rest_authentication import SECRETS, credentials, read_authentication, read_headers
from sources.connectors.rest_expressions import Unworkable
from sources.connectors.rest_listing import Listings
from sources.connectors.rest_records import Reading, is_true
from sources.connectors.rest_settings import Declared, Listed, digest, raise_all, read_documents
from sources.documents import Page, Payslip, Problem
from sources.errors import SourceUnavailable

RELIST_SECONDS = 86_400.0
"""After so long everything is read again, so that deletions show."""

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Cursor:
    """`declared`: of the declarations that it was made under. `marks`: by position of the listing, the newest moment that a record
    stated, in seconds since 1970. `listed_at`: when everything was read last."""

    declared: str
    marks: Mapping[str, float]
    listed_at: float

    def text(self) -> str:
        return json.dumps({"declared": self.declared, "marks": dict(self.marks), "listed_at": self.listed_at})


@dataclass(frozen=True, slots=True)
class _Refused:
    """A record's own answer that the API does not give. `reason`: what follows the record's name; `failed`: asking for it failed, which
    may be the API's state as a whole."""

    reason: str
    failed: bool = False


class RestConnector:
    """One API. Constructed without I/O. Raises ConfigurationError, with a line for each mistake.

    `account`: whose documents the address gives, where another account may come to stand behind it. `documents`, `authentication`,
    `headers`: as the settings say (`rest_settings`). `clock`: seconds since 1970."""

    restated_problems = ()

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        account: str = "",
        documents: Any = None,
        authentication: Any = None,
        headers: Any = None,
        http: HttpOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        del account  # of the settings' route alone
        wrongs: list[str] = []
        self._subject = f"Source {name!r}"
        self._declared = read_documents(name, documents, wrongs)
        given, sent = read_authentication(name, authentication, wrongs), read_headers(name, headers, wrongs)
        check_all(partial(raise_all, wrongs), partial(checked_base, name, base_url))
        self._digest = digest(documents)
        self._clock = clock
        found = credentials(name, given, http)
        self._tokens = found.tokens
        self._http = SourceHttp(name=name, base_url=base_url, auth=found.headers, options=http)
        self._listings = Listings(self._subject, self._http, base_url, sent, found.key)
        self.lists_everything = False
        """Whether the last pull read everything that there is."""

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of documents; the cursor moves on with the last one. Raises SourceUnavailable."""
        now, found = self._clock(), _load(cursor, self._digest)
        whole = found is None or now - found.listed_at >= RELIST_SECONDS
        self.lists_everything = not any(
            declared.keeps_absent or (_tells_changes(declared) and not whole) for declared in self._declared
        )
        marks = dict(found.marks) if found is not None else {}
        for number, declared in enumerate(self._declared):
            since = None if whole or not _tells_changes(declared) else marks.get(str(number))
            async for records in self._listings.pages(declared, since, now):
                reading = await self._read(number, records, partial(self._listings.check, declared, since, now))
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

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """As `sources.documents.ReadsAgain` says: records that have a path of their own (`item`), while the declarations are the same.
        Raises SourceUnavailable."""
        reading = Reading()
        places = [self._place(problem) for problem in problems]
        asked = [self._given(*place) if place else _nothing() for place in places]
        for problem, place, record in zip(problems, places, await each(asked), strict=True):
            if place is None or isinstance(record, (_Refused, SourceUnavailable)):
                reading.problems.append(problem)
            else:
                reading.add(place[0], record, record, problem.again)
        return Page(documents=reading.documents, deletions=reading.deletions, problems=reading.problems, cursor=cursor)

    def _again(self, number: int, listed: Any) -> str | None:
        """By what a record is asked for once more; None: it has no path of its own, and comes with the next reading of everything."""
        declared = self._declared[number]
        identifier = _identifier(declared, listed) if declared.item is not None else None
        return None if isinstance(identifier, (_Refused, NoneType)) else f"{self._digest}/{number}/{identifier}"

    def _place(self, problem: Problem) -> tuple[Declared, str] | None:
        """The declaration and the id of a record; None: it was declared in another way."""
        declared, _, place = (problem.again or "").partition("/")
        number, _, identifier = place.partition("/")
        return (self._declared[int(number)], identifier) if declared == self._digest else None

    async def _read(self, number: int, records: Sequence[Any], check: Callable[[], Awaitable[None]]) -> Reading:
        reading, declared = Reading(), self._declared[number]
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            for listed, record in zip(some, await self._complete(declared, some, check), strict=True):
                again = self._again(number, listed)
                if isinstance(record, _Refused):
                    reading.refuse(declared, listed, record.reason, again)
                else:
                    reading.add(declared, record, listed, again)
        return reading

    async def _complete(
        self, declared: Declared, listed: Sequence[Any], check: Callable[[], Awaitable[None]]
    ) -> Sequence[Any]:
        """The whole of each record, a _Refused in the place of one that is not to be had. `check`: asks the listing once more, to tell
        whether it is the API that fails."""
        if declared.item is None and not declared.parts:
            return listed
        tasks = [asyncio.create_task(self._whole(declared, record)) for record in listed]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        refused = [record for record in found if isinstance(record, _Refused)]
        if len(refused) == len(found) and (len(found) == _AT_ONCE or (len(found) > 1 and not refused[0].failed)):
            raise SourceUnavailable(
                f"{self._subject} lists records in {declared.list} and gives none of them ({refused[0].reason}):"
                " check item, item_id and parts."
            )
        if len(refused) == len(found) and any(record.failed for record in refused):
            await check()
        return found

    async def _whole(self, declared: Declared, listed: Any) -> Any:
        """One that is to be deleted or skipped is not asked for."""
        try:
            if is_true(declared.deleted, listed) or is_true(declared.skip, listed):
                return listed
        except Unworkable as error:
            return _Refused(f"cannot be asked for: {error}")
        identifier = _identifier(declared, listed)
        return identifier if isinstance(identifier, _Refused) else await self._given(declared, identifier, listed)

    async def _given(self, declared: Declared, identifier: str, listed: Any = None) -> Any:
        """The record's own answers, or a _Refused. Raises SourceUnavailable for what is not about this record."""
        try:
            answer = listed
            if declared.item is not None:
                answer = declared.item_at.search(await self._listings.answer(declared.item, identifier))
            if declared.parts and isinstance(answer, Mapping):
                parts = {name: await self._part(part, identifier) for name, part in declared.parts.items()}
                return {**answer, **parts}
            return answer
        except SourceRefused as refused:
            if is_of_all(refused):
                raise
            return _Refused(f"is listed, and could not be asked for (status {refused.status})")
        except SourceUnavailable as failure:
            return _Refused(f"is listed, and could not be asked for: {str(failure).rstrip('.')}", failed=True)
        except Unworkable as error:
            return _Refused(f"cannot be read: {error}")

    async def _part(self, part: str | Listed, identifier: str) -> Any:
        if isinstance(part, Listed):
            return await self._listings.part(part, identifier)
        return await self._listings.answer(part, identifier)


async def _nothing() -> None:
    """Of what is not asked for."""


def _identifier(declared: Declared, listed: Any) -> str | _Refused:
    """What stands for {id}."""
    try:
        identifier = declared.item_id.search(listed)
    except Unworkable as error:
        return _Refused(f"cannot be asked for: {error}")
    # "." and ".." are steps of a path, which would lead to another address.
    stated = isinstance(identifier, (str, int)) and not isinstance(identifier, bool)
    if not stated or not str(identifier).strip() or str(identifier) in (".", ".."):
        return _Refused("cannot be asked for: item_id gives nothing that can stand in an address")
    return str(identifier)


def _tells_changes(declared: Declared) -> bool:
    return declared.changed is not None and declared.changed.field is not None


def _load(text: str | None, declared: str) -> _Cursor | None:
    """None: everything is to be read."""
    try:
        stored = json.loads(text or "null")
        found = _Cursor(stored["declared"], {str(k): float(v) for k, v in stored["marks"].items()}, stored["listed_at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.declared == declared and isinstance(found.listed_at, (int, float)) else None


KIND = ConnectorKind(
    name="rest",
    connector=RestConnector,
    gives=("invoice", "payment", "payroll_run", "bank_statement"),
    required=("base_url",),
    tables=("documents", "authentication", "headers"),
    secrets=SECRETS,
    optional=("account",),
    origin=("account",),
    example={
        "base_url": "https://api.example.com/v1",
        "documents": [
            {
                "kind": "invoice",
                "list": "/bills",
                "fields": {
                    "external_id": "id",
                    "total": "total",
                    "currency": "currency",
                    "status": "status",
                    "party": "{name: vendor}",
                },
                "fixed": {"direction": "PAYABLE"},
            }
        ],
    },
)
