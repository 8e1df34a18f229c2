"""Asking a declared API: page by page, and for a record's own answers. Which page follows is told by the API, or by an empty page:
a page that is shorter than asked for is not the last one, because APIs give fewer than they are asked for.

A listing by pages or offsets of more than one request is read twice: a record that goes away, or changes, meanwhile moves others over
the edge of a page, and what either reading mentions counts. A listing that ends early is no listing: SourceUnavailable.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from yarl import URL

from sources.connectors.http import Headers, SourceHttp, SourceRefused
from sources.connectors.rest_expressions import Expression, Unworkable
from sources.connectors.rest_settings import Changed, Declared, Listed, Paging
from sources.errors import SourceUnavailable
from sources.texts import clean

MAX_PAGES = 10_000
MAX_PART = 20_000
"""Records of a listing that belongs to one record."""
_DAY = 86_400.0
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+\s*(?:=\s*(?:"[^"]*"|[^",;\s]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))', re.IGNORECASE)
_ABSENT: Any = object()
"""Of a place in a request: nothing stands there yet."""

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request for a page. `body` None: it is a GET."""

    path: str
    params: Params
    body: Any = None


class Listings:
    """The listings of one API. `headers` and `key` (what authenticates in the query) go with every request."""

    def __init__(self, subject: str, http: SourceHttp, base_url: str, headers: Headers, key: Params) -> None:
        self._subject = subject
        self._http = http
        self._base = URL(base_url.rstrip("/"))
        self._headers = headers
        self._key = key

    async def pages(self, declared: Declared, since: float | None, now: float) -> AsyncIterator[list[Any]]:
        """The records of each page of what changed since a moment, None: of everything. Raises SourceUnavailable."""
        requests = 0
        async for records in self._once(declared, since, now):
            requests += 1
            yield records
        if requests > 1 and declared.paging.style in ("page", "offset"):
            async for records in self._once(declared, since, now):
                yield records

    async def check(self, declared: Declared, since: float | None, now: float) -> None:
        """Asks for the first page once more. Raises SourceUnavailable where the API gives it no more."""
        async for _ in self._once(declared, since, now):
            return

    async def answer(self, path: str, identifier: Any) -> Any:
        """What a path with {id} gives. Raises SourceRefused and SourceUnavailable."""
        answer, _ = await self._ask(_Asked(_of_one(path, identifier), ()), of_one=True)
        return answer

    async def part(self, listed: Listed, identifier: Any) -> list[Any]:
        """All records of a listing that belongs to one record. Raises SourceRefused and SourceUnavailable."""
        found = list[Any]()
        async for records in self._once(replace(listed, list=_of_one(listed.list, identifier)), None, 0.0, of_one=True):
            found += records
            if len(found) > MAX_PART:
                raise SourceUnavailable(f"{self._subject} has more than {MAX_PART} records in {listed.list}")
        return found

    async def _once(
        self, declared: Listed, since: float | None, now: float, *, of_one: bool = False
    ) -> AsyncIterator[list[Any]]:
        paging, known = declared.paging, _known(declared, since, now)
        asked, taken, seen, before = _request(declared, since, known), 0, set[str](), list[Any]()
        for number in range(MAX_PAGES):
            try:
                answer, headers = await self._ask(asked, of_one=of_one)
            except SourceRefused as refused:
                # Of everything, a first page that is refused would delete all that is held.
                if refused.status == paging.past_end and (number > 0 or since is not None):
                    return
                raise
            records = self._records(declared, answer)
            taken += len(records)
            following = self._following(declared, answer, headers, number, taken, records)
            yield records
            if following is None:
                return
            if str(following) in seen or (records and records == before and not of_one):
                raise SourceUnavailable(
                    f"{self._subject} gave the same page twice in {declared.list}: check its paging."
                )
            seen.add(str(following))
            before = records
            if paging.style in ("link", "next_url"):
                asked = self._addressed(asked, str(following))
            else:
                asked = _request(declared, since, {**known, "{next}": following})
        raise SourceUnavailable(f"{self._subject} listed more than {MAX_PAGES} pages in {declared.list}.")

    async def _ask(self, asked: _Asked, *, of_one: bool = False) -> tuple[Any, Headers]:
        own = {name for name, _ in self._key}
        params = [*(each for each in asked.params if each[0] not in own), *self._key]
        if asked.body is None:
            return await self._http.get_json(asked.path, params=params, headers=self._headers, of_one=of_one)
        # A listing changes nothing, so that a lost answer is safe to ask for again.
        return await self._http.post_json(asked.path, asked.body, params=params, headers=self._headers, idempotent=True)

    def _records(self, declared: Listed, answer: Any) -> list[Any]:
        try:
            records = declared.items.search(answer)
        except Unworkable:
            records = None
        if not isinstance(records, list):
            raise SourceUnavailable(
                f"{self._subject} answered {declared.list} without a list where `items` says that it is: check the setting."
                f" {_shape(answer)}"
            )
        return records

    def _following(
        self, declared: Listed, answer: Any, headers: Headers, number: int, taken: int, records: Sequence[Any]
    ) -> int | str | None:
        try:
            found = _next(declared.paging, answer, headers, number, taken, records)
            if found is None:
                _check_total(declared.paging, answer, taken)
            return found
        except ValueError as error:
            raise SourceUnavailable(f"{self._subject}, {declared.list}: {error}.") from None

    def _addressed(self, asked: _Asked, text: str) -> _Asked:
        """The request for an address, which has to lie under the source's own."""
        path = self._base.path.rstrip("/")
        try:
            url = self._base.with_path(path + asked.path).join(URL(text))
            inside = url.origin() == self._base.origin() and url.path.startswith(path + "/")
        except ValueError:
            inside = False
        if not inside:
            raise SourceUnavailable(f"{self._subject} names a next page at another address, which is not followed.")
        return _Asked(url.path[len(path) :], list(url.query.items()), asked.body)


def _of_one(path: str, identifier: Any) -> str:
    return path.replace("{id}", quote(clean(str(identifier)), safe=""))


def _request(declared: Listed, since: float | None, known: Mapping[str, Any]) -> _Asked:
    paging, changed = declared.paging, declared.changed
    params = [
        (name, str(_filled(value, known)))
        for name, value in declared.params
        if value not in known or known[value] is not _ABSENT
    ]
    if paging.size is not None and paging.size_param:
        params.append((paging.size_param, str(paging.size)))
    if paging.param and known["{next}"] is not _ABSENT:
        params.append((paging.param, str(known["{next}"])))
    if changed is not None and changed.param and (since or changed.start is not None):
        params.append((changed.param, str(known["{since}"])))
    return _Asked(declared.list, params, None if declared.body is None else _filled(declared.body, known))


def _known(declared: Listed, since: float | None, now: float) -> dict[str, Any]:
    """What stands in the places of the first request."""
    paging = declared.paging
    known = {"{next}": paging.first if paging.style in ("page", "offset") else _ABSENT, "{size}": paging.size}
    if declared.changed is not None:
        asked = _beginning(declared.changed, now) if since is None else since - declared.changed.overlap
        known |= {"{since}": _stated(asked, declared.changed), "{now}": _stated(now, declared.changed)}
    return known


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    """With what stands in its places. A text that is a place alone is the value itself; a key whose value is absent is left out."""
    if isinstance(value, str):
        if value in known:
            return known[value]
        for place, each in known.items():
            value = value.replace(place, "" if each is _ABSENT else str(each))
        return value
    if isinstance(value, Mapping):
        filled = {key: _filled(each, known) for key, each in value.items()}
        return {key: each for key, each in filled.items() if each is not _ABSENT}
    if isinstance(value, list):
        return [each for each in (_filled(each, known) for each in value) if each is not _ABSENT]
    return value.isoformat() if isinstance(value, date) else value


def _beginning(changed: Changed, now: float) -> float:
    if changed.start is None:
        return 0.0
    if isinstance(changed.start, int):
        return now - changed.start * _DAY
    return datetime(changed.start.year, changed.start.month, changed.start.day, tzinfo=UTC).timestamp()


def _stated(moment: float, changed: Changed) -> str | int:
    whole = max(int(moment), 0)
    if changed.format in ("epoch", "epoch_ms"):
        return whole if changed.format == "epoch" else whole * 1000
    form = "%Y-%m-%dT%H:%M:%SZ" if changed.format == "iso" else changed.format
    return datetime.fromtimestamp(whole, UTC).strftime(form)


def _next(
    paging: Paging, answer: Any, headers: Headers, number: int, taken: int, records: Sequence[Any]
) -> int | str | None:
    """What leads to the next page; None: this is the last one. Raises ValueError where that cannot be told."""
    if paging.style in ("page", "offset"):
        if _is_last(paging, answer, taken, records):
            return None
        return paging.first + (number + 1 if paging.style == "page" else taken)
    if paging.style in ("cursor", "next_url") and paging.next is not None:
        value = paging.next.search(answer)
        if value is None or value is False or value == "":
            return None
        if isinstance(value, (str, int)) and value is not True:
            return value
        # What follows would be taken for deleted.
        raise ValueError("what `paging.next` gives is neither a text nor a number: check the setting")
    if paging.style == "link":
        return _linked(headers)
    return None


def _is_last(paging: Paging, answer: Any, taken: int, records: Sequence[Any]) -> bool:
    if paging.more is not None:
        more = paging.more.search(answer)
        if not isinstance(more, bool):
            raise ValueError("what `paging.more` gives is neither true nor false: check the setting")
        return not more
    if paging.total is not None and taken >= _total(paging.total, answer):
        return True
    return not records


def _check_total(paging: Paging, answer: Any, taken: int) -> None:
    if paging.total is not None and taken < _total(paging.total, answer):
        raise ValueError(
            f"it listed {taken} records of {_total(paging.total, answer)}, and then no more: check its paging"
        )


def _total(expression: Expression, answer: Any) -> int:
    total = expression.search(answer)
    if isinstance(total, str) and total.isascii() and total.isdecimal() and len(total) < 19:
        total = int(total)
    if isinstance(total, Decimal) and total.is_finite() and 0 <= total < 2**62:
        total = int(total)
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise ValueError("what `paging.total` gives is no number of records: check the setting")
    return total


def _linked(headers: Headers) -> str | None:
    """The target of rel="next" (RFC 8288), in whichever of the headers it stands."""
    stated = ", ".join(value for name, value in headers.items() if name.lower() == "link")
    for target, parameters in _LINK.findall(stated):
        relation = _REL.search(parameters)
        if relation is not None and "next" in (relation[1] or relation[2] or "").lower().split():
            return str(target)
    return None


def _shape(answer: Any) -> str:
    """What was found in a list's place, without any value."""
    if isinstance(answer, Mapping):
        keys = [str(key)[:40] for key in list(answer)[:20] if str(key).isprintable()]
        return f"It has {', '.join(keys)}." if keys else "It is an empty object."
    return f"It is {'a list' if isinstance(answer, list) else 'neither an object nor a list'}."
