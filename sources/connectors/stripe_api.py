"""Requests to Stripe's REST API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

from sources.connectors.each import outcomes
from sources.connectors.http import Headers, SourceHttp, SourceRefused
from sources.connectors.stripe_records import Record, text
from sources.errors import SourceUnavailable

STRIPE_VERSION = "2025-03-31.basil"
"""Amounts, taxes and events are read as of this version of the API, whatever the account's default is."""

PAGE_SIZE = 100
"""The most that Stripe gives at once."""

_EXPANDED: Mapping[str, tuple[str, ...]] = {
    "invoices": ("payments",),
    "credit_notes": ("customer",),
    "charges": ("customer", "balance_transaction"),
    "refunds": ("charge.customer", "balance_transaction"),
    "disputes": ("charge.customer",),
    "payouts": ("balance_transaction",),
}
"""What is asked for in full within each object. Of invoices it spares questions, and is done without where a server does not know it."""

MISSING = frozenset({"resource_missing", "invalid_request_error"})
"""What Stripe says of an object that it does not have; any other 404 is somebody else's, and deletes nothing."""

Params = list[tuple[str, str]]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class ListPage:
    """`records` may hold anything; `after` is the id that the next page starts behind, None on the last page; `at` is
    the server's time of the answer, in seconds."""

    records: list[Any]
    after: str | None
    at: int


class StripeApi:
    """Stripe as one key sees it, within one pull. Every method raises SourceUnavailable."""

    def __init__(self, http: SourceHttp, subject: str) -> None:
        self._http = http
        self._subject = subject
        self._plain = False
        self._followed: dict[tuple[Any, ...], set[str]] = {}
        """Where pages of a list began, by what was asked: a list that leads there again has no end."""

    async def list_page(self, collection: str, params: Params, after: str | None = None) -> ListPage:
        """One page of a list, newest first. Raises SourceRefused where Stripe has no such list or refuses its parameters."""
        cursor = [("starting_after", after)] if after else []
        asked = [("limit", str(PAGE_SIZE)), *params, *cursor]
        answer, headers = await self._get_expanded(f"/v1/{collection}", collection, asked, "data.")
        records = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(records, list):
            raise SourceUnavailable(f"{self._subject} answered with something else than a list: check its base_url.")
        more = answer.get("has_more")
        following = _last_id(records) if more is True else None
        before = self._followed.setdefault((collection, *params), set())
        if after is None:
            before.clear()
        if more not in (None, False) and (following is None or following in before):
            raise SourceUnavailable(f"{self._subject} gave a list that cannot be paged through; try again later.")
        if following is not None:
            before.add(following)
        return ListPage(records, following, _server_time(headers))

    async def list_all(self, collection: str, params: Params, most: int) -> list[Any] | None:
        """All records of a list, newest first; None: it has more than `most` pages. Raises as `list_page`."""
        records: list[Any] = []
        after = None
        for _ in range(most):
            page = await self.list_page(collection, params, after)
            records += page.records
            after = page.after
            if after is None:
                return records
        return None

    async def account(self) -> str | None:
        """The id of the account that the key belongs to; None: the server, or the key, does not tell."""
        try:
            answer, _ = await self._get("/v1/account", [])
        except SourceRefused as refused:
            if refused.status == 401:
                raise
            return None
        return text(answer, "id") if isinstance(answer, dict) else None

    async def retrieve(self, collection: str, object_id: str) -> Record | None:
        """One object; None: Stripe has none of this id, or deleted it."""
        path = f"/v1/{collection}/{quote(object_id, safe='')}"
        try:
            answer, _ = await self._get_expanded(path, collection, [], of_one=True)
        except SourceRefused as refused:
            if refused.status == 404 and refused.code in MISSING:
                return None
            raise
        if not isinstance(answer, dict) or text(answer, "id") is None:
            raise SourceUnavailable(f"{self._subject} answered with something else than an object: check its base_url.")
        return None if answer.get("deleted") is True else answer

    async def retrieve_all(self, collection: str, object_ids: Sequence[str]) -> dict[str, Record | None]:
        """Several objects at once, each as `retrieve` gives it."""
        found = await together(self.retrieve(collection, object_id) for object_id in object_ids)
        return dict(zip(object_ids, found, strict=True))

    async def retrieve_each(
        self, collection: str, object_ids: Sequence[str]
    ) -> dict[str, Record | SourceUnavailable | None]:
        """As `retrieve_all`, with the failure in the place of an object that Stripe fails to give, while it gives others, or at least
        its list of invoices."""
        found = await outcomes(self.retrieve(collection, object_id) for object_id in object_ids)
        if found and all(isinstance(each, SourceUnavailable) for each in found):
            await self.list_page("invoices", [])
        return dict(zip(object_ids, found, strict=True))

    async def _get_expanded(
        self, path: str, collection: str, params: Params, start: str = "", *, of_one: bool = False
    ) -> tuple[Any, Headers]:
        expanded = [("expand[]", start + each) for each in _EXPANDED.get(collection, ())]
        if collection != "invoices":
            return await self._get(path, [*params, *expanded], of_one)
        if not self._plain:
            try:
                return await self._get(path, [*params, *expanded], of_one)
            except SourceRefused as refused:
                if refused.status not in (400, 403):
                    raise
        answer = await self._get(path, params, of_one)
        self._plain = True
        return answer

    async def _get(self, path: str, params: Params, of_one: bool = False) -> tuple[Any, Headers]:
        version = {"Stripe-Version": STRIPE_VERSION}
        return await self._http.get_json(path, params=params, headers=version, of_one=of_one)


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order. The first failure ends the other calls and is raised as it is."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def both(one: Awaitable[T], other: Awaitable[U]) -> tuple[T, U]:
    """Two calls at once, as `together`."""
    results: list[Any] = await together((one, other))
    return results[0], results[1]


def _last_id(records: Sequence[Any]) -> str | None:
    ids = (text(record, "id") for record in reversed(records) if isinstance(record, dict))
    return next((object_id for object_id in ids if object_id), None)


def _server_time(headers: Headers) -> int:
    """The answer's Date, so that clocks need not agree; our own time where there is none."""
    try:
        return int(parsedate_to_datetime(headers["Date"]).timestamp())
    except (KeyError, ValueError, OverflowError):
        return int(time.time())
