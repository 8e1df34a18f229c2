"""A Xero organisation on loopback, as its accounting API shows it: what people do in Xero, and the listings that tell of it.

Spoken: client credentials, the tenant's header, paging with `order` by id, If-Modified-Since, the minute's limit, and records in the
shapes of Xero's OpenAPI document. Amounts are cents."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from sources.connectors.http import HttpOptions
from sources.connectors.xero_accounting import XeroAccountingConnector

PREFIX = "/api.xro/2.0"
TENANT = "70784a63-d24b-46a9-a4db-0e70a274b056"
BANK, EURO_BANK, OWNER = (
    "5690f1e8-0000-4000-8000-000000000090",
    "5690f1e8-0000-4000-8000-000000000091",
    "5690f1e8-0000-4000-8000-000000000880",
)
RATES = {"OUTPUT2": 20, "ZERORATED": 0, "INPUT2": 20}
IDS = {
    "Invoices": "InvoiceID",
    "CreditNotes": "CreditNoteID",
    "Payments": "PaymentID",
    "Overpayments": "OverpaymentID",
    "Prepayments": "PrepaymentID",
}
IMPATIENT = HttpOptions(waiting=False, deadline_seconds=10, attempts=3)

Record = dict[str, Any]
Line = tuple[int, str, str]
"""Cents without tax, TaxType, account."""


def stamp(moment: datetime | date) -> str:
    """As Xero writes it: milliseconds, and +0000."""
    at = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return f"/Date({round(at.timestamp() * 1000)}+0000)/"


def dated(on: date) -> Record:
    return {"Date": stamp(on), "DateString": f"{on}T00:00:00"}


@dataclass
class Organisation:
    """`clock`: Xero's; every change takes a second. `page_size`: the most that a page holds."""

    clock: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)
    page_size: int = 1_000
    counts_pages: bool = True
    minute_limit: int = 1_000_000
    token_calls: int = 1_000_000
    records: dict[str, dict[str, Record]] = field(default_factory=lambda: {name: {} for name in IDS})
    updated: dict[str, datetime] = field(default_factory=dict)
    contacts: dict[str, Record] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    before: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
    made: int = 0

    # ------------------------------------------------------------ what people do in Xero

    def contact(self, name: str, tax_number: str | None = None) -> str:
        found = f"c0000000-0000-4000-8000-{len(self.contacts):012}"
        self.contacts[found] = {
            "ContactID": found,
            "Name": name,
            "TaxNumber": tax_number or "",
            "EmailAddress": "a@b.example",
        }
        return found

    def invoice(
        self, contact: str, *lines: Line, kind: str = "ACCREC", on: date = date(2026, 3, 2), **more: Any
    ) -> str:
        """An authorised one, with prices without tax; `inclusive`: they are stated with it."""
        inclusive = more.pop("inclusive", False)
        record = self._document(contact, lines, on, inclusive) | {
            "Type": kind, "AmountPaid": 0.0, "AmountCredited": 0.0,
            "DueDate": stamp(on + timedelta(days=30)), "DueDateString": f"{on + timedelta(days=30)}T00:00:00",
        }  # fmt: skip
        record["AmountDue"] = record["Total"]
        return self.put(
            "Invoices", record | {"InvoiceNumber": f"{'INV' if kind == 'ACCREC' else 'B'}-{self.made:04}"} | more
        )

    def credit_note(
        self, contact: str, *lines: Line, kind: str = "ACCRECCREDIT", on: date = date(2026, 3, 3), **more: Any
    ) -> str:
        record = self._document(contact, lines, on, False) | {"Type": kind, "Allocations": []}
        record["RemainingCredit"] = record["Total"]
        return self.put("CreditNotes", record | {"CreditNoteNumber": f"CN-{self.made:04}"} | more)

    def advance(self, contact: str, cents: int, kind: str = "RECEIVE-OVERPAYMENT", on: date = date(2026, 3, 4)) -> str:
        """An overpayment, or prepayment."""
        name = "Prepayments" if "PREPAYMENT" in kind else "Overpayments"
        record = self._document(contact, [(cents, "NONE", "610")], on, False) | {
            "Type": kind,
            "Allocations": [],
            "LineAmountTypes": "NoTax",
        }
        return self.put(name, record | {"RemainingCredit": record["Total"], "Reference": f"REF-{self.made}"})

    def pay(
        self,
        settled: str,
        cents: int,
        *,
        account: str = BANK,
        bank_cents: int | None = None,
        on: date = date(2026, 3, 10),
        kind: str | None = None,
    ) -> str:
        """Settles an invoice, or gives a credit note or an advance back."""
        name = next(each for each in IDS if settled in self.records[each])
        record = self.records[name][settled]
        due = "AmountDue" if name == "Invoices" else "RemainingCredit"
        record[due] = round(record[due] - cents / 100, 2)
        if name == "Invoices":
            record["AmountPaid"] = round(record["AmountPaid"] + cents / 100, 2)
        record["Status"] = "AUTHORISED" if record[due] else "PAID"
        self.touch(settled)
        types = {
            "ACCREC": "ACCRECPAYMENT",
            "ACCPAY": "ACCPAYPAYMENT",
            "ACCRECCREDIT": "ARCREDITPAYMENT",
            "ACCPAYCREDIT": "APCREDITPAYMENT",
        }
        types |= {"RECEIVE-OVERPAYMENT": "AROVERPAYMENTPAYMENT", "SPEND-PREPAYMENT": "APPREPAYMENTPAYMENT"}
        payment = {
            **dated(on), "Amount": cents / 100, "BankAmount": (cents if bank_cents is None else bank_cents) / 100, "Reference": "", "PaymentType": kind or types[record["Type"]], "Status": "AUTHORISED",
            "Account": {"AccountID": account, "Code": account[-3:]},
            "Invoice": {name: record[name] for name in ("Type", "Contact", "CurrencyCode", "InvoiceNumber", "CreditNoteNumber", *IDS.values()) if name in record},
        }  # fmt: skip
        return self.put("Payments", payment)

    def allocate(self, credit: str, invoice: str, cents: int) -> None:
        """A credit note or an advance to an invoice."""
        name = next(each for each in IDS if credit in self.records[each])
        given, taken = self.records[name][credit], self.records["Invoices"][invoice]
        given["Allocations"].append(
            {"Amount": cents / 100, "Date": stamp(date(2026, 3, 12)), "Invoice": {"InvoiceID": invoice}}
        )
        given["RemainingCredit"] = round(given["RemainingCredit"] - cents / 100, 2)
        given["Status"] = "AUTHORISED" if given["RemainingCredit"] else "PAID"
        taken["AmountCredited"] = round(taken["AmountCredited"] + cents / 100, 2)
        taken["AmountDue"] = round(taken["AmountDue"] - cents / 100, 2)
        taken["Status"] = "AUTHORISED" if taken["AmountDue"] else "PAID"
        self.touch(credit, invoice)

    def void(self, *ids: str, status: str = "VOIDED") -> None:
        for each in ids:
            self.change(each, Status=status)

    def unpay(self, payment: str) -> None:
        """Deletes a payment: its invoice is open again."""
        record = self.records["Payments"][payment]
        self.void(payment, status="DELETED")
        settled = record["Invoice"]["InvoiceID"]
        invoice = self.records["Invoices"][settled]
        self.change(
            settled, Status="AUTHORISED", AmountDue=round(invoice["AmountDue"] + record["Amount"], 2), AmountPaid=0.0
        )

    def change(self, record: str, **changes: Any) -> None:
        name = next(each for each in IDS if record in self.records[each])
        self.records[name][record].update(changes)
        self.touch(record)

    def touch(self, *ids: str) -> None:
        self.clock += timedelta(seconds=1)
        for each in ids:
            self.updated[each] = self.clock

    def put(self, name: str, record: Record, external_id: str | None = None) -> str:
        """Ids are not in the order in which they are made, as at Xero."""
        self.made += 1
        made = external_id or f"{(self.made * 7_919) % 100_003:08x}-0000-4000-8000-{self.made:012}"
        self.records[name][made] = {IDS[name]: made, **record}
        self.touch(made)
        return made

    def _document(self, contact: str, lines: Any, on: date, inclusive: bool) -> Record:
        taxes = [round(cents * RATES.get(code, 0) / 100) for cents, code, _ in lines]
        subtotal, tax = sum(line[0] for line in lines), sum(taxes)
        items = [
            {
                "Description": f"On {account}", "Quantity": 1.0, "LineAmount": (cents + (taxed if inclusive else 0)) / 100,
                "TaxAmount": taxed / 100, "TaxType": code, "AccountCode": account,
            }
            for (cents, code, account), taxed in zip(lines, taxes, strict=True)
        ]  # fmt: skip
        named = {key: self.contacts[contact][key] for key in ("ContactID", "Name")}
        return {
            **dated(on), "Status": "AUTHORISED", "LineAmountTypes": "Inclusive" if inclusive else "Exclusive", "LineItems": items,
            "SubTotal": subtotal / 100, "TotalTax": tax / 100, "Total": (subtotal + tax) / 100, "CurrencyCode": "GBP", "Contact": named,
        }  # fmt: skip

    # ------------------------------------------------------------ what the API answers

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix(f"{PREFIX}/")
        self.asked.append((name, dict(request.query), request.headers.get("If-Modified-Since")))
        if self.before is not None and (instead := await self.before(request)) is not None:
            return instead
        if refused := self._refusal(request):
            return refused
        envelope: Record = {
            "Id": "00000000-0000-4000-8000-000000000000",
            "Status": "OK",
            "DateTimeUTC": stamp(self.clock)[:-7] + ")/",
        }
        left = {"X-MinLimit-Remaining": str(self.minute_limit), "X-DayLimit-Remaining": "4000"}
        return web.json_response(envelope | self._found(name, request), headers=left)

    def _refusal(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "")
        if self.tokens.get(token, 0) <= 0:
            return web.json_response({"Type": None, "Title": "Unauthorized", "Status": 401}, status=401)
        self.tokens[token] -= 1
        if request.headers.get("xero-tenant-id") != TENANT:
            return web.json_response({"Title": "Forbidden", "Status": 403}, status=403)
        self.minute_limit -= 1
        if self.minute_limit < 0:
            self.minute_limit = 60
            return web.Response(status=429, headers={"Retry-After": "41", "X-Rate-Limit-Problem": "minute"})
        return None

    def _found(self, name: str, request: web.Request) -> Record:
        if name == "TaxRates":
            return {
                name: [
                    {"Name": code, "TaxType": code, "EffectiveRate": float(rate), "Status": "ACTIVE"}
                    for code, rate in RATES.items()
                ]
            }
        if name == "Accounts":
            return {name: [
                {"AccountID": BANK, "Code": "090", "Type": "BANK", "CurrencyCode": "GBP"},
                {"AccountID": EURO_BANK, "Code": "091", "Type": "BANK", "CurrencyCode": "EUR"},
                {"AccountID": OWNER, "Code": "880", "Type": "EQUITY"},
            ]}  # fmt: skip
        if name == "Organisation":
            return {"Organisations": [{"Name": "Acme", "BaseCurrency": "GBP"}]}
        if name == "Contacts":
            return {name: [self.contacts[each] for each in request.query["IDs"].split(",") if each in self.contacts]}
        return self._page(name, request)

    def _page(self, name: str, request: web.Request) -> Record:
        name, _, one = name.partition("/")
        if one:
            held = self.records[name].get(one)
            return {name: [] if held is None else [held | {"UpdatedDateUTC": stamp(self.updated[one])}]}
        assert request.query["order"] == f"{IDS[name]} ASC"
        since = request.headers.get("If-Modified-Since")
        from_ = None if since is None else datetime.fromisoformat(since)
        found = [
            record | {"UpdatedDateUTC": stamp(self.updated[each])}
            for each, record in sorted(self.records[name].items())
            if from_ is None or self.updated[each].replace(microsecond=0) >= from_
        ]
        size, number = min(int(request.query["pageSize"]), self.page_size), int(request.query["page"])
        counted = {"page": number, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        envelope = {"pagination": counted} if self.counts_pages else {}
        return {name: found[(number - 1) * size : number * size], **envelope}

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        wanted = "Basic " + base64.b64encode(b"client:secret").decode()
        if request.headers.get("Authorization") != wanted or form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=400)
        made = f"token-{len(self.tokens) + 1}"
        self.tokens[f"Bearer {made}"] = self.token_calls
        return web.json_response(
            {"access_token": made, "expires_in": 1800, "token_type": "Bearer", "scope": form["scope"]}
        )

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/connect/token", self.token)
        app.router.add_get(PREFIX + "/{name}", self.answer)
        app.router.add_get(PREFIX + "/{name}/{id}", self.answer)
        return app


def connected(url: str, **changes: Any) -> XeroAccountingConnector:
    settings = {
        "name": "xero", "base_url": url.rstrip("/") + PREFIX, "client_id": "client", "client_secret": "secret", "tenant_id": TENANT,
        "options": IMPATIENT,
    }  # fmt: skip
    return XeroAccountingConnector(**{**settings, **changes})


@asynccontextmanager
async def serving(organisation: Organisation, **changes: Any) -> AsyncIterator[XeroAccountingConnector]:
    """A connector of the organisation, whose server listens; `changes`: of its settings."""
    async with TestServer(organisation.app()) as server:
        connector = connected(str(server.make_url("")), **changes)
        yield connector
        await connector.close()
