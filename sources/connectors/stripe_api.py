"""Requests to Stripe's REST API, and the reading of what they bring into documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

from sources.connectors.http import Headers, SourceHttp, SourceRefused
from sources.connectors.stripe_objects import parse_credit_note, parse_invoice, problem
from sources.connectors.stripe_records import Record, UnreadableRecord, embedded, identity, reference, text
from sources.documents import Invoice, InvoiceStatus, Problem
from sources.errors import SourceUnavailable

STRIPE_VERSION = "2025-03-31.basil"
"""Amounts, taxes and events are read as of this version of the API, whatever the account's default is."""

PAGE_SIZE = 100
"""The most that Stripe gives at once."""

MAX_LINE_PAGES = 100

_NAMES = {"invoices": "invoice", "credit_notes": "credit note"}

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


@dataclass(slots=True)
class Batch:
    """Documents that were read, and the records that could not be."""

    documents: list[Invoice] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def drafts(self) -> list[str]:
        return [document.external_id for document in self.documents if document.status is InvoiceStatus.DRAFT]

    def others(self) -> list[str]:
        return [document.external_id for document in self.documents if document.status is not InvoiceStatus.DRAFT]


class StripeApi:
    """One pull's view of Stripe: its customers are asked for once. Every method raises SourceUnavailable."""

    def __init__(self, http: SourceHttp, subject: str) -> None:
        self._http = http
        self._subject = subject
        self._customers: dict[str, Record | None] = {}

    async def list_page(self, collection: str, params: Params, after: str | None = None) -> ListPage:
        """One page of a list, newest first. Raises SourceRefused where Stripe has no such list or refuses its parameters."""
        cursor = [("starting_after", after)] if after else []
        extra = [("expand[]", "data.customer")] if collection == "credit_notes" else []
        answer, headers = await self._get(f"/v1/{collection}", [("limit", str(PAGE_SIZE)), *params, *extra, *cursor])
        records = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(records, list):
            raise SourceUnavailable(f"{self._subject} answered with something else than a list: check its base_url.")
        following = _last_id(records) if answer.get("has_more") else None
        if answer.get("has_more") and following in (None, after):
            raise SourceUnavailable(f"{self._subject} gave a list that cannot be paged through; try again later.")
        return ListPage(records, following, _server_time(headers))

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
        extra = [("expand[]", "customer")] if collection == "credit_notes" else []
        try:
            answer, _ = await self._get(f"/v1/{collection}/{quote(object_id, safe='')}", extra)
        except SourceRefused as refused:
            if refused.status == 404:
                return None
            raise
        if not isinstance(answer, dict):
            raise SourceUnavailable(f"{self._subject} answered with something else than an object: check its base_url.")
        return None if answer.get("deleted") is True else answer

    async def retrieve_all(self, collection: str, object_ids: Sequence[str]) -> dict[str, Record | None]:
        """Several objects at once, each as `retrieve` gives it."""
        found = await together(self.retrieve(collection, object_id) for object_id in object_ids)
        return dict(zip(object_ids, found, strict=True))

    async def read(self, collection: str, records: Sequence[Any]) -> Batch:
        """The documents of some records; a record that cannot be read becomes a problem, and the others are read."""
        await self._learn_customers(records)
        read = await together(self._read_one(collection, record) for record in records)
        batch = Batch()
        for outcome in read:
            if isinstance(outcome, Invoice):
                batch.documents.append(outcome)
            else:
                batch.problems.append(outcome)
        return batch

    async def _read_one(self, collection: str, record: Any) -> Invoice | Problem:
        subject = f"{_NAMES[collection]} without an id"
        try:
            subject = f"{_NAMES[collection]} {identity(record)}"
            lines = await self._all_lines(collection, record)
            if collection == "credit_notes":
                return parse_credit_note(record, lines)
            return parse_invoice(record, self._customers.get(reference(record.get("customer")) or ""), lines)
        except UnreadableRecord as error:
            return problem(subject, error)

    async def _all_lines(self, collection: str, record: Record) -> list[Any] | None:
        """All lines of a document, where it holds the first of them only."""
        if not embedded(record, "lines")[1]:
            return None
        path = f"{collection}/{quote(identity(record), safe='')}/lines"
        lines: list[Any] = []
        after = None
        for _ in range(MAX_LINE_PAGES):
            try:
                page = await self.list_page(path, [], after)
            except SourceRefused as refused:
                raise UnreadableRecord(f"its lines cannot be read (status {refused.status})") from None
            lines += page.records
            after = page.after
            if after is None:
                return lines
        raise UnreadableRecord(f"it has more than {MAX_LINE_PAGES * PAGE_SIZE} lines")

    async def _learn_customers(self, records: Iterable[Any]) -> None:
        """Asks for the customers of records that do not name them."""
        nameless = (record for record in records if isinstance(record, dict) and "customer_name" not in record)
        ids = {record["customer"] for record in nameless if isinstance(record.get("customer"), str)}
        missing = sorted(ids - self._customers.keys())
        self._customers.update(await self.retrieve_all("customers", missing))

    async def _get(self, path: str, params: Params) -> tuple[Any, Headers]:
        return await self._http.get_json(path, params=params, headers={"Stripe-Version": STRIPE_VERSION})


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
