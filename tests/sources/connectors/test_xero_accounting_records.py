"""Reading Xero's accounting records: the examples of Xero's OpenAPI document, and the document served by Prism."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestServer

from sources.connectors.xero_accounting import LISTINGS, XeroAccountingConnector
from sources.connectors.xero_accounting_cursor import XeroCursor
from sources.connectors.xero_accounting_payments import Account, parse_account, parse_advance, parse_payment
from sources.connectors.xero_accounting_records import parse_invoice, parse_rates
from sources.connectors.xero_accounting_values import UnreadableRecord, day, moment
from sources.documents import (
    Document,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Payment,
    PaymentStatus,
    PaymentType,
    Problem,
)
from tests.sources.connectors.test_xero_payroll_records import CORPORA, prism, prism_program
from tests.sources.connectors.xero_accounting_server import Organisation

DOCUMENT = CORPORA / "xero" / "xero_accounting.yaml"
ONE_OF_EACH = [f"{listing.name}/{number}0000000-0000-4000-8000-000000000000" for number, listing in enumerate(LISTINGS)]
LOOKUPS = ("TaxRates", "Accounts", "Organisation", "Contacts")


@cache
def specification() -> dict[str, Any]:
    if not DOCUMENT.exists():
        pytest.skip(f"Xero's OpenAPI document is not at {DOCUMENT}")
    found: dict[str, Any] = yaml.load(
        DOCUMENT.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return found


def example(path: str) -> list[dict[str, Any]]:
    """Records of the example answer to a listing, with exact decimals."""
    content = specification()["paths"][f"/{path}"]["get"]["responses"]["200"]["content"]["application/json"]
    answer = json.loads(json.dumps(content["example"], default=str), parse_float=Decimal)
    found: list[dict[str, Any]] = answer["Organisations" if path == "Organisation" else path]
    return found


def test_the_documents_invoices() -> None:
    void, paid, open_ = [parse_invoice(record, {}, {}) for record in example("Invoices")]
    assert [each.status for each in (void, paid, open_)] == [InvoiceStatus.VOID, InvoiceStatus.PAID, InvoiceStatus.OPEN]
    assert (paid.number, paid.subtotal, paid.tax, paid.total, paid.amount_due) == ("INV-0002", 4_000, 600, 4_600, 0)
    assert (paid.issue_date, paid.due_date, paid.currency) == (date(2018, 10, 20), date(2018, 12, 30), "NZD")
    assert (open_.amount_due, open_.party.name, open_.taxes) == (11_500, "Barney Rubble-83203", None)


def test_the_documents_credit_notes() -> None:
    note, draft = [parse_invoice(record, {}, {}) for record in example("CreditNotes")]
    assert (note.kind, note.direction, note.total, note.amount_due) == (
        InvoiceKind.CREDIT_NOTE,
        InvoiceDirection.RECEIVABLE,
        3_450,
        3_250,
    )
    assert (draft.status, draft.direction, draft.number) == (InvoiceStatus.DRAFT, InvoiceDirection.PAYABLE, None)


def test_the_documents_payments() -> None:
    paid, refund = [parse_payment(record, {}, "NZD", {}) for record in example("Payments")]
    assert (paid.type, paid.amount, paid.currency, paid.status) == (
        PaymentType.PAYMENT,
        4_600,
        "NZD",
        PaymentStatus.SUCCEEDED,
    )
    assert (paid.invoice_external_id, paid.bank_account, paid.occurred_on) == (
        "046d8a6d-1ae1-4b4d-9340-5601bdf41b87",
        "970",
        date(2018, 11, 29),
    )
    assert (refund.type, refund.amount, refund.bank_account) == (PaymentType.REFUND, -200, "980")


def test_the_documents_overpayments_and_prepayments() -> None:
    over = [parse_advance(record, "OverpaymentID", {}) for record in example("Overpayments")]
    assert [each.amount for each in over] == [-50_000, 2_000, -300_000, 2_000, 2_000]
    (before,) = [parse_advance(record, "PrepaymentID", {}) for record in example("Prepayments")]
    assert (before.type, before.amount, before.invoice_external_id) == (PaymentType.PAYMENT, 345_000, None)


def test_the_documents_tax_rates_and_accounts() -> None:
    assert parse_rates(example("TaxRates")) == {
        "INPUT2": "15",
        "OUTPUT2": "15",
        "GSTONIMPORTS": "0",
        "NONE": "0",
        "ZERORATED": "0",
    }
    assert dict(parse_account(record) for record in example("Accounts")) == {
        "ebd06280-af70-4bed-97c6-7451a454ad85": Account("091", "NZD"),
        "7d05a53d-613d-4eb2-a2fc-dcb6adb80b80": Account("200", None),
    }


def examples_within(schema: str) -> list[dict[str, Any]]:
    """Every example answer of the document that lists such records, of reads and writes."""
    found = []
    for methods in specification()["paths"].values():
        for operation in methods.values():
            responses = operation.get("responses", {}) if isinstance(operation, dict) else {}
            for response in responses.values():
                answer = response.get("content", {}).get("application/json", {}).get("example")
                stated = answer.get(schema) if isinstance(answer, dict) else None
                found += [each for each in stated or [] if isinstance(each, dict)]
    plain: list[dict[str, Any]] = json.loads(json.dumps(found, default=str), parse_float=Decimal)
    return plain


@pytest.mark.parametrize(("name", "least"), [("Invoices", 7), ("CreditNotes", 6)])
def test_every_example_of_the_document_is_read_or_refused_with_a_reason(name: str, least: int) -> None:
    """Those of writes have lines; some leave fields out that reads always have."""
    read, refused = 0, set()
    for record in examples_within(name):
        try:
            found = parse_invoice(record, {}, {})
        except UnreadableRecord as error:
            refused.add(str(error))
            continue
        read += 1
        if found.lines:
            assert sum(line.amount for line in found.lines) == found.subtotal
    assert read >= least, refused
    assert all(reason.startswith("its ") for reason in refused)


@pytest.mark.parametrize(
    ("written", "on"),
    [("/Date(1518685950940+0000)/", date(2018, 2, 15)), ("/Date(-86400000)/", date(1969, 12, 31)), ("2026-02-28", date(2026, 2, 28))],
)  # fmt: skip
def test_dates(written: str, on: date) -> None:
    assert day({"Date": written}, "Date") == on


@pytest.mark.parametrize("written", ["2026-02-30", "/Date(999999999999999)/", "soon", 5, "/Date()/"])
def test_what_is_no_date(written: Any) -> None:
    with pytest.raises(UnreadableRecord, match="its Date is no date"):
        day({"Date": written}, "Date")


def test_moments_keep_their_milliseconds() -> None:
    assert moment("/Date(1541176290160+0000)/") == datetime(2018, 11, 2, 16, 31, 30, 160_000, tzinfo=UTC)
    assert moment("/Date(1541176290160+0000)") is None


def sliced() -> dict[str, Any]:
    """The document with what is read alone, and of answers the examples: by their recursive schemas Prism takes seconds for each."""
    whole = specification()
    kept: dict[str, Any] = {}
    records = (f"{listing.name}/{{{listing.id_name}}}" for listing in LISTINGS)
    for name in (*(listing.name for listing in LISTINGS), *records, *LOOKUPS):
        path = whole["paths"][f"/{name}"]
        content = {
            "application/json": {"example": path["get"]["responses"]["200"]["content"]["application/json"]["example"]}
        }
        get = {**path["get"], "responses": {"200": {"description": "OK", "content": content}}}
        kept[f"/{name}"] = {"get": get, "parameters": path.get("parameters", [])}
    components: dict[str, dict[str, Any]] = {"securitySchemes": whole["components"]["securitySchemes"]}
    left = references(kept)
    while left:
        _, _, group, name = left.pop().split("/")
        if name not in components.setdefault(group, {}):
            components[group][name] = whole["components"][group][name]
            left |= references(components[group][name])
    return {**whole, "paths": kept, "components": components}


def references(part: Any) -> set[str]:
    """What it refers to."""
    if isinstance(part, list):
        return {found for each in part for found in references(each)}
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
    return own | {found for each in part.values() for found in references(each)}


@pytest.mark.timeout(240)
async def test_against_prism_serving_xeros_document(tmp_path: Path) -> None:
    """Prism checks our requests (paths, parameters, headers, token) and answers with Xero's examples."""
    document = tmp_path / "xero.json"
    document.write_text(json.dumps(sliced(), default=str), encoding="utf-8")
    program = await asyncio.to_thread(prism_program)
    async with TestServer(Organisation().app()) as tokens, prism(program, document) as base_url:
        connector = XeroAccountingConnector(
            name="xero", base_url=base_url, token_url=str(tokens.make_url("/connect/token")), client_id="client", client_secret="secret",
            tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056",
        )  # fmt: skip
        pages = [page async for page in connector.pull(None)]
        found: dict[str, Document] = {each.external_id: each for page in pages for each in page.documents}
        assert [problem for page in pages for problem in page.problems] == []
        invoices = [each for each in found.values() if isinstance(each, Invoice)]
        payments = [each for each in found.values() if isinstance(each, Payment)]
        assert (len(invoices), len(payments)) == (5, 8)
        assert pages[-1].cursor is not None
        assert XeroCursor.decode(pages[-1].cursor).of("Invoices").since is not None
        again = [page async for page in connector.pull(pages[-1].cursor)]
        assert sum(len(page.documents) for page in again) == 13
        asked = [Problem(code="UNREADABLE_RECORD", subject="x", message="x", again=each) for each in ONE_OF_EACH]
        one_of_each = await connector.read_again(pages[-1].cursor, asked)
        assert (len(one_of_each.documents), one_of_each.problems) == (5, [])
        await connector.close()
