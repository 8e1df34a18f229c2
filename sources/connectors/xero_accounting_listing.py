"""Pages of Xero's listings, and what is looked up beside their records: tax rates, accounts, tax ids of contacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from sources.connectors.xero_accounting_payments import Account, parse_account
from sources.connectors.xero_accounting_records import parse_rates
from sources.connectors.xero_accounting_values import Record, UnreadableRecord, moment, part, text
from sources.connectors.xero_api import XeroApi
from sources.errors import SourceUnavailable

PAGE_SIZE: Final = 200
"""Records of a page. A cursor in the midst of a listing counts pages of this size."""
_CONTACTS_AT_ONCE: Final = 50
_DEADLINE_SECONDS: Final = 120.0
"""Of one call: so that the minute's limit can be waited out."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One of Xero's listings. `name`: its path, and of its records in the answer; `id_name`: which never changes, so pages are in its
    order; `noun`: what a person calls a record."""

    name: str
    id_name: str
    noun: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page. `at`: what Xero's clock showed. `pages`, `items`: of the whole listing; None: it does not say."""

    records: Sequence[Any]
    at: datetime | None
    page: int | None
    pages: int | None
    items: int | None


async def read_page(api: XeroApi, listing: Listing, number: int, since: datetime | None) -> Answer:
    """Raises SourceUnavailable."""
    path = f"/{listing.name}"
    params = {
        **listing.params,
        "order": f"{listing.id_name} ASC",
        "page": str(number),
        "pageSize": str(PAGE_SIZE),
    }
    headers = {} if since is None else {"If-Modified-Since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    stated = await api.get(path, params, headers, deadline=_DEADLINE_SECONDS)
    records = _records(api, stated, listing.name)
    envelope = part(stated, "pagination")
    page, pages, items = (_count(envelope.get(name)) for name in ("page", "pageCount", "itemCount"))
    if page not in (None, number):
        raise SourceUnavailable(f"{api.subject} answered with another page of {path} than was asked for.")
    return Answer(records, moment(stated.get("DateTimeUTC")), page, pages, items)


async def read_one(api: XeroApi, listing: Listing, identifier: str) -> Sequence[Any]:
    """The record of an id, in a list, as Xero gives it. Raises SourceUnavailable."""
    path = f"/{listing.name}/{quote(identifier, safe='')}"
    stated = await api.get(path, {}, deadline=_DEADLINE_SECONDS, of_one=True)
    return _records(api, stated, listing.name)


class XeroLookups:
    """What is asked for beside records, once in a pull and only where a record needs it. Methods raise SourceUnavailable."""

    def __init__(self, api: XeroApi) -> None:
        self._api = api
        self._rates: dict[str, str] | None = None
        self._accounts: dict[str, Account] | None = None
        self._home: str | None = None
        self._tax_ids: dict[str, str] = {}
        self._known: set[str] = set()

    async def rates(self) -> Mapping[str, str]:
        """Percentages by TaxType."""
        if self._rates is None:
            self._rates = parse_rates(await self._all("TaxRates", {}))
        return self._rates

    async def accounts(self) -> Mapping[str, Account]:
        """By AccountID."""
        if self._accounts is None:
            self._accounts = dict(_readable_accounts(await self._all("Accounts", {})))
        return self._accounts

    async def home(self) -> str | None:
        """The organisation's currency."""
        if self._home is None:
            found = await self._all("Organisation", {}, "Organisations")
            self._home = next((text(each, "BaseCurrency") for each in found if isinstance(each, dict)), None)
        return self._home

    async def tax_ids(self, contacts: Iterable[str | None]) -> Mapping[str, str]:
        """By ContactID, of these and others; a contact without one is not among them."""
        wanted = sorted({each for each in contacts if each} - self._known)
        for start in range(0, len(wanted), _CONTACTS_AT_ONCE):
            asked = wanted[start : start + _CONTACTS_AT_ONCE]
            params = {
                "IDs": ",".join(asked),
                "includeArchived": "true",
                "page": "1",
                "pageSize": str(_CONTACTS_AT_ONCE),
            }
            for record in await self._all("Contacts", params):
                if isinstance(record, dict) and (number := text(record, "TaxNumber")):
                    self._tax_ids[str(record.get("ContactID"))] = number
            self._known.update(asked)
        return self._tax_ids

    async def _all(self, name: str, params: Mapping[str, str], key: str | None = None) -> Sequence[Any]:
        answer = await self._api.get(f"/{name}", params, deadline=_DEADLINE_SECONDS)
        return _records(self._api, answer, key or name)


def _readable_accounts(records: Sequence[Any]) -> Iterable[tuple[str, Account]]:
    for record in records:
        try:
            if isinstance(record, dict):
                yield parse_account(record)
        except UnreadableRecord:
            continue  # what was paid from it is known by its id


def _records(api: XeroApi, answer: Any, name: str) -> Sequence[Any]:
    stated: Record = answer if isinstance(answer, dict) else {}
    records = stated.get(name)
    if not isinstance(records, list):
        raise SourceUnavailable(f"{api.subject}: its answer to /{name} has no list {name}; try again later.")
    return records


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
