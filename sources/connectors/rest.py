"""Any JSON API over HTTP, read as the settings declare it: listings, paging, what changed, and where in a record each field of a
document stands. See docs/connectors.md. `rest_settings` reads what is declared, `rest_listing` asks for pages, `rest_records` makes
documents, by the expressions of `rest_expressions`.

What a pull reads: of a listing with `changed.field` what changed since the newest moment that a record stated, less the overlap;
every 24 hours, and where the declarations changed, everything. Of other listings everything, each time.

Deletions: a record for which `deleted` is true, and, after a pull that read every listing whole, whatever no listing mentioned,
unless `absent` keeps it. A record that is listed and cannot be asked for or read is not gone: it is a problem, and the others are read.

What `maxAge: 0` guarantees: what the API's listings showed when the pull began.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sources.connectors.http import HttpOptions, SourceHttp, SourceRefused
from sources.connectors.kinds import ConnectorKind
from sources.connectors.rest_authentication import SECRETS, credentials, read_authentication, read_headers
from sources.connectors.rest_expressions import Unworkable
from sources.connectors.rest_listing import Listings
from sources.connectors.rest_records import Reading, is_true
from sources.connectors.rest_settings import Declared, digest, raise_all, read_documents
from sources.documents import Page, Payslip
from sources.errors import SourceUnavailable

RELIST_SECONDS = 86_400.0
"""After so long everything is read again, so that deletions show."""

_AT_ONCE = 8
_OF_ALL = (401, 403, 407, 408)
"""Refusals that are about whoever asks, and not about one record."""


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
    """A record's own answer that the API does not give. `reason`: what follows the record's name."""

    reason: str


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
        raise_all(wrongs)
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
                reading = await self._read(declared, records)
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

    async def _read(self, declared: Declared, records: Sequence[Any]) -> Reading:
        reading = Reading()
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            for listed, record in zip(some, await self._complete(declared, some), strict=True):
                if isinstance(record, _Refused):
                    reading.refuse(declared, listed, record.reason)
                else:
                    reading.add(declared, record, listed)
        return reading

    async def _complete(self, declared: Declared, listed: Sequence[Any]) -> Sequence[Any]:
        """The whole of each record, a _Refused in the place of one that is not to be had."""
        if declared.item is None and not declared.parts:
            return listed
        tasks = [asyncio.create_task(self._whole(declared, record)) for record in listed]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if len(found) > 1 and all(isinstance(each, _Refused) for each in found):
            raise SourceUnavailable(
                f"{self._subject} lists records in {declared.list} and gives none of them ({found[0].reason}):"
                " check item, item_id and parts."
            )
        return found

    async def _whole(self, declared: Declared, listed: Any) -> Any:
        """One that is to be deleted or skipped is not asked for."""
        try:
            if is_true(declared.deleted, listed) or is_true(declared.skip, listed):
                return listed
            identifier = declared.item_id.search(listed)
        except Unworkable as error:
            return _Refused(f"cannot be asked for: {error}")
        # "." and ".." are steps of a path, which would lead to another address.
        stated = isinstance(identifier, (str, int)) and not isinstance(identifier, bool)
        if not stated or not str(identifier).strip() or str(identifier) in (".", ".."):
            return _Refused("cannot be asked for: item_id gives nothing that can stand in an address")
        try:
            answer = listed
            if declared.item is not None:
                answer = declared.item_at.search(await self._listings.answer(declared.item, identifier))
            if declared.parts and isinstance(answer, Mapping):
                parts = {name: await self._listings.answer(path, identifier) for name, path in declared.parts.items()}
                return {**answer, **parts}
            return answer
        except SourceRefused as refused:
            if refused.status in _OF_ALL:
                raise
            return _Refused(f"is listed, and could not be asked for (status {refused.status})")
        except Unworkable as error:
            return _Refused(f"cannot be read: {error}")


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
