"""What is open on a day is what documents, payments and matches say of that day: at every moment, and for every day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.documents import InvoiceDirection, InvoiceKind, InvoiceStatus, PaymentStatus, PaymentType
from sources.matching import open_sql
from sources.matching.folding import fold
from tests.sources.matching.open_days import LIVE, OPEN_STATUSES, Known, day, noted, open_on
from tests.sources.matching.trade import Trade, invoice, trading
from tests.sources.mirror.kit import Kit

DAYS = range(-2, 16)


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        await found.company.owner.execute(_KEPT_PLANS)
        yield found


names = st.sampled_from(["a", "b", "c"])
days = st.integers(0, 13).map(day)
amounts = st.integers(0, 120)


@st.composite
def _invoices(draw: Any) -> Any:
    total = draw(st.sampled_from([100, 100, 100, 70, 0, -50]))
    kind = draw(st.sampled_from([InvoiceKind.INVOICE, InvoiceKind.INVOICE, InvoiceKind.CREDIT_NOTE]))
    elsewhere = draw(st.sampled_from([0, 0, 0, 40, 100]))
    more: dict[str, Any] = (
        {"raw": {"invoice": draw(names)}} if kind is InvoiceKind.CREDIT_NOTE and draw(st.booleans()) else {}
    )
    return Kit.invoice(
        draw(names),
        kind=kind,
        direction=draw(st.sampled_from([InvoiceDirection.RECEIVABLE, InvoiceDirection.RECEIVABLE, InvoiceDirection.PAYABLE])),
        status=draw(st.sampled_from([*OPEN_STATUSES, InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.VOID])),
        currency="EUR", total=total, subtotal=total, tax=0, prepaid=draw(st.sampled_from([0, 0, 20])),
        amount_due=draw(st.sampled_from([0, total, total, total // 2])), issue_date=draw(days),
        accounting_date=draw(st.none() | days), due_date=draw(st.none() | days), paid_elsewhere=elsewhere,
        paid_elsewhere_on=draw(st.none() | days) if elsewhere else None, **more,
    )  # fmt: skip


_payments = st.builds(
    lambda number, amount, on, of, of_type, status: Kit.payment(
        f"p{number}", amount=amount, fee=None, net=None, occurred_on=on, invoice_external_id=of, type=of_type, currency="EUR", status=status
    ),
    st.integers(0, 3), amounts, days, names, st.sampled_from([PaymentType.PAYMENT, PaymentType.PAYMENT, PaymentType.REFUND]),
    st.sampled_from([PaymentStatus.SUCCEEDED, PaymentStatus.SUCCEEDED, PaymentStatus.FAILED]),
)  # fmt: skip
_matches = st.tuples(
    days,
    st.sampled_from([*LIVE, "PROPOSED"]),
    st.dictionaries(names, st.integers(-60, 120).filter(bool), min_size=1, max_size=2),
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("state"), _invoices()),
        st.tuples(st.just("state"), _invoices()),
        st.tuples(st.just("pay"), _payments),
        st.tuples(st.just("match"), _matches),
        st.tuples(st.just("decide"), st.sampled_from(["CERTAIN", "CONFIRMED", "REJECTED", "WITHDRAWN"])),
        st.tuples(st.just("redate"), days),
        st.tuples(st.just("gone"), names),
        st.tuples(st.just("fold"), st.integers(1, 9)),
        st.tuples(st.just("fold"), st.just(100)),
        st.tuples(st.just("fold"), st.just(100)),
    ),
    min_size=6,
    max_size=14,
)


async def _take(trade: Trade, known: Known, what: str, given: Any) -> None:
    ledger_id, owner = trade.company.ledger.ledger_id, trade.company.owner
    if what in ("state", "pay"):
        (known.invoices if what == "state" else known.payments)[given.external_id] = given
        await trade.company.state(given, source="sales")
    elif what == "gone":
        known.invoices.pop(given, None)
        await trade.company.state(source="sales", gone=[("invoice", given)])
    elif what == "fold":
        await owner.execute("SELECT matching.fold_open_items($1, $2)", ledger_id, given)
    elif what == "match":
        number = len(known.matches) + 1
        known.matches[number] = given
        await owner.execute(_ITEM, ledger_id, f"t{number}", given[0])
        await owner.execute(_MATCH, ledger_id, number, f"t{number}", given[1])
        await owner.executemany(
            _ALLOCATION, [(ledger_id, number, at, name, amount) for at, (name, amount) in enumerate(given[2].items())]
        )
    elif known.matches:
        number = max(known.matches)
        moved, status, parts = known.matches[number]
        if what == "decide":
            known.matches[number] = (moved, given, parts)
            await owner.execute(
                "UPDATE matching.match SET status = $3 WHERE ledger_id = $1 AND match_id = $2", ledger_id, number, given
            )
        else:
            known.matches[number] = (given, status, parts)
            await owner.execute(
                "UPDATE matching.item SET dated = $3 WHERE ledger_id = $1 AND external_id = $2",
                ledger_id,
                f"t{number}",
                given,
            )


_ITEM = """
INSERT INTO matching.item (ledger_id, kind, source, account, external_id, side, currency, amount, ready, dated)
VALUES ($1, 'bank_transaction', 'bank', 'x', $2, 'clearing', 'EUR', 1000, true, $3)"""
_MATCH = """
INSERT INTO matching.match (ledger_id, match_id, source, account, external_id, status, score, reasons, created_at)
VALUES ($1, $2, 'bank', 'x', $3, $4, 50, '[]', now())"""
_ALLOCATION = """
INSERT INTO matching.allocation (ledger_id, match_id, position, kind, source, external_id, side, currency, amount, bank_amount)
VALUES ($1, $2, $3, 'invoice', 'sales', $4, 'receivable', 'EUR', $5, $5)"""


# What is asked for each of many days is the same: its plan is made once.
_KEPT_PLANS = "ALTER FUNCTION matching.open_spans(bigint, text[], text[], text[]) SET plan_cache_mode = auto"


async def test_every_day_is_as_documents_payments_and_matches_say(trade: Trade) -> None:
    """Before, amid and after what was noted is folded."""
    seen = {"open": 0, "unfolded": 0}

    ledger_id = trade.company.ledger.ledger_id

    async def check(steps: list[tuple[str, Any]]) -> None:
        owner = trade.company.owner
        for table in ("matching.allocation", "matching.match", "matching.item", "mirror.payment", "mirror.invoice"):
            await owner.execute(f"DELETE FROM {table}")
        await owner.execute("DELETE FROM matching.open_item")
        await owner.execute("DELETE FROM matching.open_todo")
        known = Known()
        for what, given_ in steps:
            await _take(trade, known, what, given_)
            seen["unfolded"] += await noted(trade) > 0
            await _agrees(trade, known, seen)
        await fold(trade.company.database, ledger_id)
        assert await noted(trade) == 0
        await _agrees(trade, known, seen)

    loop = asyncio.get_running_loop()

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(_steps)
    def explore(steps: list[tuple[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(check(steps), loop).result(timeout=60)

    await asyncio.to_thread(explore)
    assert seen["open"] > 500
    assert seen["unfolded"] > 12


async def test_each_change_of_what_it_is_made_of_is_noted(trade: Trade) -> None:
    """One after the other, each once all before it is folded."""

    def stated(name: str, **more: Any) -> tuple[str, Any]:
        values = {
            "currency": "EUR",
            "total": 100,
            "subtotal": 100,
            "tax": 0,
            "amount_due": 100,
            "due_date": day(4),
            **more,
        }
        return ("state", Kit.invoice(name, **values))

    def paid(amount: int, **more: Any) -> tuple[str, Any]:
        values = {
            "fee": None,
            "net": None,
            "currency": "EUR",
            "occurred_on": day(3),
            "invoice_external_id": "a",
            **more,
        }
        return ("pay", Kit.payment("p1", amount=amount, **values))

    note: dict[str, Any] = {
        "kind": InvoiceKind.CREDIT_NOTE,
        "status": InvoiceStatus.PAID,
        "amount_due": 0,
        "total": 15,
        "subtotal": 15,
    }
    steps = [
        stated("a"), stated("b"), stated("c"), stated("a", amount_due=90), paid(30), paid(40), paid(40, occurred_on=day(6)),
        paid(40, invoice_external_id="b"), paid(40, status=PaymentStatus.FAILED), ("match", (day(5), "PROPOSED", {"b": 60, "c": 20})),
        ("decide", "CONFIRMED"), ("redate", day(9)), ("decide", "REJECTED"), ("match", (day(7), "CERTAIN", {"a": 50})),
        stated("c", amount_due=85), stated("n", **note, raw={"invoice": "c"}), stated("n", **note, raw={"invoice": "b"}),
        stated("c", status=InvoiceStatus.UNCOLLECTIBLE), stated("b", accounting_date=day(8)), stated("b", due_date=day(1)),
        ("gone", "n"), ("gone", "b"), ("gone", "a"),
    ]  # fmt: skip
    known, seen = Known(), {"open": 0}
    for what, given_ in steps:
        await fold(trade.company.database, trade.company.ledger.ledger_id)
        await _take(trade, known, what, given_)
        assert await noted(trade), (what, given_)
        await _agrees(trade, known, seen)
    await fold(trade.company.database, trade.company.ledger.ledger_id)
    assert await noted(trade) == 0
    await _agrees(trade, known, seen)


async def test_a_duplicate_of_a_bill_is_not_open_twice(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-1", 100))
    ledger_id, owner = trade.company.ledger.ledger_id, trade.company.owner
    await owner.execute("DELETE FROM pipeline.posting")
    for status, expected in (("DUPLICATE", {}), ("POSTED", {"inv-1": 100}), ("DUPLICATE", {})):
        await fold(trade.company.database, ledger_id)
        await owner.execute("UPDATE pipeline.document SET status = $1", status)
        assert await noted(trade) == 1
        assert await open_on(trade, day(30)) == expected


async def _agrees(trade: Trade, known: Known, seen: dict[str, int]) -> None:
    for direction in ("RECEIVABLE", "PAYABLE"):
        rows = await trade.company.speaking.fetch(
            f"SELECT on_day::date, o.external_id, o.open FROM generate_series($3::date, $4::date, interval '1 day') AS on_day "
            f"CROSS JOIN LATERAL ({open_sql.on_day('$1', '$2', 'on_day::date')}) AS o WHERE o.open <> 0",
            trade.company.ledger.ledger_id, direction, day(DAYS[0]), day(DAYS[-1]),
        )  # fmt: skip
        found = {(on, name): open_ for on, name, open_ in rows}
        assert len(found) == len(rows)
        on_days = [day(number) for number in DAYS]
        expected = {(on, name): open_ for on in on_days for name, open_ in known.open_on(on, direction).items()}
        assert found == expected, direction
        seen["open"] += len(expected)
