"""Tryton's connector on a loopback server that answers in Tryton's shapes, and can fail as it likes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.tryton import BATCH, TrytonConnector
from sources.connectors.tryton_cursor import TrytonCursor
from sources.connectors.tryton_purchases import purchase_facts
from sources.connectors.tryton_records import parse_invoice
from sources.connectors.tryton_values import UnreadableRecord
from sources.documents import Invoice, InvoiceKind, InvoiceStatus, Page
from sources.errors import ConfigurationError, SourceUnavailable

Record = dict[str, Any]


def decimal(text: str) -> Record:
    return {"__class__": "Decimal", "decimal": text}


def moment(minute: int) -> Record:
    return {
        "__class__": "datetime",
        "year": 2026,
        "month": 3,
        "day": 1 + minute // 1440,
        "hour": minute // 60 % 24,
        "minute": minute % 60,
        "second": 0,
        "microsecond": 0,
    }


def invoice(number: int, *, minute: int = 0, state: str = "posted", total: str = "119.00", **more: Any) -> Record:
    """As search_read gives it."""
    return {
        "id": number,
        "type": "out",
        "state": state,
        "number": None if state == "draft" else f"R-{number}",
        "invoice_date": {"__class__": "date", "year": 2026, "month": 3, "day": 1},
        "currency.": {"id": 1, "code": "EUR"},
        "party.": {"id": 4, "name": "Ada", "tax_identifier.": None},
        "party_tax_identifier.": None,
        "untaxed_amount": decimal(total),
        "tax_amount": decimal("0"),
        "total_amount": decimal(total),
        "amount_to_pay": decimal("0"),
        "lines.": [
            {"id": number, "type": "line", "amount": decimal(total), "quantity": 1.0, "unit_price": decimal(total)}
        ],
        "taxes.": [],
        "lines_to_pay.": [],
        "create_date": moment(minute),
        "write_date": None,
        **more,
    }


def decoded(record: Record) -> Record:
    """As the connector gets it: fractions are decimals."""
    found: Record = json.loads(json.dumps(record), parse_float=Decimal)
    return found


class Server:
    """`fails`: asked with model and method before each answer; what it returns is answered instead."""

    def __init__(self) -> None:
        self.invoices: dict[int, Record] = {}
        self.company: int | None = 1
        self.token = "t0"
        self.logins = 0
        self.read: list[int] = []
        self.fails: Callable[[str], web.Response | None] = lambda _method: None

    def put(self, *records: Record) -> None:
        self.invoices.update({each["id"]: each for each in records})

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body.keys() == {"id", "method", "params"}
        method, params = body["method"], body["params"]
        if (failure := self.fails(method)) is not None:
            return failure
        if method == "common.db.login":
            assert params == ["reader", {"password": "secret"}]
            self.logins += 1
            self.token = f"t{self.logins}"
            return web.json_response({"id": 0, "result": [7, self.token, None]})
        kept = base64.b64encode(f"reader:7:{self.token}".encode()).decode()
        if request.headers.get("Authorization") != f"Session {kept}":
            return web.Response(status=401)
        return web.json_response({"id": 0, "result": self._result(method, params)})

    def _result(self, method: str, params: list[Any]) -> Any:
        if method == "model.res.user.get_preferences":
            return {"company": self.company, "companies": [] if self.company is None else [self.company]}
        if method != "model.account.invoice.search_read":
            return []
        domain, _, limit, order, fields, context = params
        assert context == {"language": "en", "company": self.company}
        found = [each for each in self.invoices.values() if all(_holds(each, clause) for clause in domain)]
        name, direction = order[0]
        found.sort(key=lambda each: _sortable(each[name]), reverse=direction == "DESC")
        if "state" in fields:
            self.read += [each["id"] for each in found[:limit]]
        return [{"id": each["id"], **{key: each.get(key) for key in (*fields, *each)}} for each in found[:limit]]


def _holds(record: Record, clause: list[Any]) -> bool:
    if clause[0] == "OR":
        return any(_holds(record, each) for each in clause[1:])
    name, operator, value = clause[:3]
    if name == "company":
        return True
    held = record[name]
    if operator == "!=":
        return held is not value
    if operator == "in":
        return held in value
    return held is not None and (held > value if operator == ">" else _sortable(held) >= _sortable(value))


def _sortable(value: Any) -> Any:
    return [each for each in value.values() if isinstance(each, int)] if isinstance(value, dict) else value


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, TrytonConnector]]:
    found = Server()
    app = web.Application()
    app.router.add_post("/books/rpc/", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = made(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", http=HttpOptions(waiting=False))
    yield found, connector
    await connector.close()
    await runner.cleanup()


def made(**more: Any) -> TrytonConnector:
    settings = {"base_url": "http://127.0.0.1:1", "database": "books", "user": "reader", "password": "secret"}
    return TrytonConnector(name="erp", **{**settings, **more})


async def pull(connector: TrytonConnector, cursor: str | None = None) -> list[Page]:
    return [page async for page in connector.pull(cursor)]


def ids(pages: list[Page]) -> list[int]:
    return [int(each.external_id) for page in pages for each in page.documents if isinstance(each, Invoice)]


async def test_a_first_pull_goes_on_where_it_stopped(server: tuple[Server, TrytonConnector]) -> None:
    """The second page fails; the next pull begins behind the first, and deletes nothing that it has not seen."""
    tryton, connector = server
    tryton.put(*[invoice(each, minute=each) for each in range(1, 2 * BATCH + 11)])
    tryton.fails = lambda _method: web.Response(status=500) if len(tryton.read) >= BATCH else None
    found = connector.pull(None)
    first = await anext(found)
    with pytest.raises(SourceUnavailable, match="failed"):
        await anext(found)
    assert ids([first]) == list(range(1, BATCH + 1))
    tryton.fails = lambda _method: None
    pages = await pull(connector, first.cursor)
    assert set(ids(pages)) == set(range(BATCH + 1, 2 * BATCH + 11))
    assert [page.deletions for page in pages if page.deletions] == []
    assert pages[-1].complete


async def test_later_pulls_read_what_changed_and_what_may_have_been_committed_late(
    server: tuple[Server, TrytonConnector],
) -> None:
    """Times are those of a transaction's beginning: one that is committed late is older than what was seen before."""
    tryton, connector = server
    tryton.put(invoice(1, minute=1), invoice(2, minute=100))
    cursor = (await pull(connector))[-1].cursor
    assert ids(await pull(connector, cursor)) == []
    tryton.put(invoice(3, minute=90), invoice(1, minute=1, write_date=moment(101), state="paid"))
    pages = await pull(connector, cursor)
    assert ids(pages) == [1, 3]
    assert ids(await pull(connector, pages[-1].cursor)) == []


async def test_only_what_never_had_a_number_is_deleted_and_never_by_a_broken_pull(
    server: tuple[Server, TrytonConnector],
) -> None:
    tryton, connector = server
    tryton.put(invoice(1), invoice(2, state="draft"), invoice(3, state="draft"))
    cursor = (await pull(connector))[-1].cursor
    del tryton.invoices[1], tryton.invoices[2]
    calls: list[str] = []

    def breaks(method: str) -> web.Response | None:
        calls.append(method)
        return web.Response(status=500) if len(calls) == 5 else None

    tryton.fails = breaks
    with pytest.raises(SourceUnavailable):
        await pull(connector, cursor)
    tryton.fails = lambda _method: None
    pages = await pull(connector, cursor)
    assert [each.external_id for page in pages for each in page.deletions] == ["2"]
    assert TrytonCursor.decode(pages[-1].cursor).open == {3}


async def test_a_session_that_ended_is_renewed_once_for_all(server: tuple[Server, TrytonConnector]) -> None:
    tryton, connector = server
    tryton.put(invoice(1))
    await pull(connector)
    tryton.token = "ended"
    assert ids(await pull(connector)) == [1, 1]
    assert tryton.logins == 2


async def test_another_company_begins_anew(server: tuple[Server, TrytonConnector]) -> None:
    tryton, connector = server
    tryton.put(invoice(1))
    cursor = (await pull(connector))[-1].cursor
    tryton.company = 2
    pages = await pull(connector, cursor)
    assert [page.afresh for page in pages] == [True] + [False] * (len(pages) - 1)
    assert 1 in ids(pages)
    tryton.company = None
    with pytest.raises(SourceUnavailable, match="its user has no company"):
        await pull(connector)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"error": ["UserError", ["You may not read Ada's invoices", "", None]]}, "give its user read access"),
        ({"error": ["LoginException", ["sms_code", "Code for reader", "char"]]}, "more than a password"),
        ({"error": ["Ada's invoice is odd", "Traceback secret"]}, "Tryton's log says why"),
        ({"error": []}, "Tryton's log says why"),
        ({"id": 0}, "does not answer as Tryton does"),
        ([], "does not answer as Tryton does"),
        ({"result": [{"id": "x"}]}, "its user has no company"),
    ],
)
async def test_a_refusal_is_told_without_what_tryton_says(
    server: tuple[Server, TrytonConnector], answer: Any, told: str
) -> None:
    tryton, connector = server
    tryton.fails = lambda method: None if method == "common.db.login" else web.json_response(answer)
    with pytest.raises(SourceUnavailable, match=told) as caught:
        await pull(connector)
    assert "Ada" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_one_record_that_cannot_be_read_is_a_problem_of_its_own(server: tuple[Server, TrytonConnector]) -> None:
    tryton, connector = server
    tryton.put(
        invoice(1),
        invoice(2, total="1.005"),
        invoice(3, **{"currency.": {"id": 2, "code": "XBT"}}),
        invoice(4, untaxed_amount=None),
    )
    pages = await pull(connector)
    problems = [each for page in pages for each in page.problems]
    # By id: what closes an issue looks for the ids of documents that were read well.
    assert {(each.subject, each.code) for each in problems} == {
        ("invoice 2", "INEXACT_AMOUNT"),
        ("invoice 3", "UNKNOWN_CURRENCY"),
        ("invoice 4", "UNREADABLE_RECORD"),
    }
    assert {each.message.partition(" could")[0] for each in problems} == {"Invoice R-2", "Invoice R-3", "Invoice R-4"}
    assert set(ids(pages)) == {1}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("user", "a:b"), ("user", ""), ("password", ""), ("database", "a/b"), ("database", ".."), ("company", "Acme")],
)
def test_settings_that_cannot_work_are_refused(setting: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"sources\.erp\.{setting}"):
        made(**{setting: value})


def test_a_cursor_reads_back_and_another_ones_starts_over() -> None:
    state = TrytonCursor(company=3, after=None, open=frozenset({4, 5}), seen={4: "ab"}, purchases=True)
    assert TrytonCursor.decode(state.encode()) == state
    for other in (
        None,
        "",
        "x",
        "[]",
        '{"a": 1}',
        '[1, 2, "no time", null, [], [], true]',
        "[99, 1, null, 0, [], [], 0]",
    ):
        assert TrytonCursor.decode(other) == TrytonCursor()


def test_a_credit_note_has_positive_amounts() -> None:
    found = parse_invoice(decoded(invoice(1, total="-119.00")), [])
    assert (found.kind, found.total, found.lines[0].amount, found.lines[0].quantity) == (
        InvoiceKind.CREDIT_NOTE,
        11_900,
        11_900,
        "-1",
    )
    assert parse_invoice(decoded(invoice(1, state="quarantined")), []).status is InvoiceStatus.UNKNOWN
    with pytest.raises(UnreadableRecord, match="neither out nor in"):
        parse_invoice(decoded(invoice(1, type="sideways")), [])


def test_the_days_of_its_moves_are_told_as_dates() -> None:
    days = {
        "accounting_date": {"__class__": "date", "year": 2026, "month": 4, "day": 1},
        "cancel_move.": {"date": {"__class__": "date", "year": 2026, "month": 5, "day": 2}},
    }
    found = parse_invoice({**decoded(invoice(1)), **days}, [])
    assert (found.accounting_date, found.raw["voided_on"]) == (date(2026, 4, 1), "2026-05-02")
    assert "voided_on" not in parse_invoice(decoded(invoice(1)), []).raw


def test_orders_in_other_units_and_returns_are_counted_in_the_orders_own_unit() -> None:
    """A dozen ordered at 12 each dozen, 24 pieces billed at 1; a return is negative on all sides."""
    bill = invoice(5, type="in")
    bill["lines."] = [
        {"id": 1, "origin": "purchase.line,8", "quantity": 24.0, "unit_price": decimal("1"), "unit.": {"factor": 1.0}},
        {"id": 2, "origin": "purchase.line,9", "quantity": -2.0, "unit_price": decimal("3"), "unit.": {"factor": 1.0}},
        {"id": 3, "origin": "purchase.line,10", "quantity": 1.0, "unit_price": decimal("3")},
        {"id": 4, "origin": "account.invoice.line,8", "quantity": 1.0, "unit_price": decimal("3")},
    ]
    dozen = {
        "id": 8,
        "purchase.": {"number": "P-1"},
        "quantity": 2.0,
        "unit_price": decimal("12"),
        "unit.": {"factor": 12.0},
        "movable": True,
        "moves.": [
            {"state": "done", "quantity": 18.0, "unit.": {"factor": 1.0}},
            {"state": "draft", "quantity": 6.0, "unit.": {"factor": 1.0}},
        ],
        "invoice_lines.": [
            {"invoice": 5, "invoice.": {"state": "posted"}, "quantity": 24.0, "unit.": {"factor": 1.0}},
            {"invoice": 6, "invoice.": {"state": "paid"}, "quantity": 6.0, "unit.": {"factor": 1.0}},
            {"invoice": 7, "invoice.": {"state": "draft"}, "quantity": 6.0, "unit.": {"factor": 1.0}},
        ],
    }
    returned = {
        "id": 9,
        "quantity": -2.0,
        "unit_price": decimal("3"),
        "unit.": {"factor": 1.0},
        "movable": False,
    }
    first, second, third = purchase_facts(decoded(bill), {8: decoded(dozen), 9: decoded(returned)})
    assert (first["order"], first["ordered"], first["received"], first["billed"]) == ("P-1", "2", "1.5", "2")
    assert (first["billed_price"], first["order_price"], first["billed_elsewhere"]) == ("12", "12", "0.5")
    assert (second["ordered"], second["billed"], "received" in second) == ("2", "2", False)
    assert (third["order"], third["ordered"], third["billed"]) == (None, "0", "1")
