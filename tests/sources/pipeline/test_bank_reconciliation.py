"""Balance at the bank, items between, balance of the books: to the cent, on each day, whatever happened."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from sources.documents import BankAccount
from sources.ledger.model import EntryDraft, LineDraft, ReversalDraft
from sources.pipeline.bank_reconciliation import BankReconciliation, reconcile
from sources.pipeline.reconciliation import reading
from sources.pipeline.rulebook import RuleBook
from tests.graph import caller, open_graph
from tests.sources.matching.trade import BANK, OTHER_BANK, RULES, Trade, money, trading
from tests.sources.mirror.kit import Kit

FIRST = date(2025, 12, 26)
CODES = {BANK: "1000", OTHER_BANK: "1010"}


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found


async def found_on(
    trade: Trade, on: date, version: int = 2, since: date = date.min
) -> dict[str | None, BankReconciliation]:
    company = trade.company
    async with reading(company.database, company.ledger.ledger_id) as connection:
        standing = await RuleBook().standing(connection, company.ledger.ledger_id, version)
        return {each.code: each for each in await reconcile(connection, company.ledger.ledger_id, standing, on, since)}


async def post(trade: Trade, key: str, on: date, code: str, amount: int) -> None:
    sides = ("debit", "credit") if amount > 0 else ("credit", "debit")
    text: Any = f"{abs(amount) / 100:.2f}"
    lines = [LineDraft(account=name, **{side: text}) for name, side in zip((code, "4000"), sides, strict=True)]
    draft = EntryDraft(
        ledger=trade.company.ledger,
        idempotency_key=key,
        effective_date=on,
        description=key,
        lines=tuple(lines),
        posted_by="me",
    )
    await trade.company.poster.post([draft])


# ---------------------------------------------------------------- a long walk


@dataclass
class Walk:
    """Statements by account, in order: (id, first day, last day, opening, transactions)."""

    trade: Trade
    chance: random.Random
    statements: dict[str, list[tuple[str, date, date, int, list[Any]]]] = field(
        default_factory=lambda: {BANK: [], OTHER_BANK: []}
    )
    ends: dict[str, tuple[date, int]] = field(default_factory=dict)
    count: int = 0

    async def step(self) -> None:
        self.count += 1
        what = self.chance.choice(["statement"] * 5 + ["post", "post", "reverse", "gone", "lock"])
        if what == "statement":
            await self._statement(self.chance.choice([BANK, BANK, OTHER_BANK]))
        elif what == "post":
            on = FIRST + timedelta(days=self.chance.randrange(10, 60))
            await post(
                self.trade,
                f"hand {self.count}",
                on,
                self.chance.choice(["1000", "1010"]),
                self.chance.choice([-1, 1]) * self.chance.randint(1, 9_00),
            )
        elif what == "reverse":
            await self._reverse()
        elif what == "gone" and self.statements[BANK]:
            name = self.statements[BANK].pop(self.chance.randrange(len(self.statements[BANK])))[0]
            await self.trade.company.state(source="bank", gone=[("bank_statement", name)])
        elif what == "lock":
            await self.trade.company.lock(FIRST + timedelta(days=self.chance.randrange(6, 40)))
        await self.trade.company.look()

    async def _statement(self, account: str) -> None:
        begins, closing = self.ends.get(account, (FIRST, self.chance.randrange(1_000_00)))
        opening = closing + (self.chance.randint(-5_00, 5_00) if self.chance.random() < 0.2 else 0)
        ends = begins + timedelta(days=self.chance.randint(0, 6))
        moved = [
            money(f"t{self.count}-{n}", self.chance.choice([-1, 1]) * self.chance.randint(1, 99_00), "x", name=None,
                  day=begins + timedelta(days=self.chance.randint(0, (ends - begins).days)))
            for n in range(self.chance.randint(0, 5))
        ]  # fmt: skip
        self.ends[account] = (ends + timedelta(days=1), opening + sum(each.amount for each in moved))
        self.statements[account].append((f"s{self.count}", begins, ends, opening, moved))
        statement = Kit.statement(
            f"s{self.count}", *moved, account=BankAccount(external_id=account, currency="EUR", iban=account),
            from_date=begins, to_date=ends, opening=opening, closing=self.ends[account][1],
        )  # fmt: skip
        await self.trade.company.state(statement, source="bank")

    async def _reverse(self) -> None:
        company = self.trade.company
        rows = await company.owner.fetch(
            "SELECT sequence FROM ledger.entry e WHERE NOT EXISTS (SELECT FROM ledger.entry r WHERE r.reverses = e.sequence)"
        )
        if rows:
            key, sequence = f"undo {self.count}", self.chance.choice(rows)[0]
            on = FIRST + timedelta(days=self.chance.randrange(40, 60))
            await company.poster.post(
                [
                    ReversalDraft(
                        ledger=company.ledger, sequence=sequence, idempotency_key=key, effective_date=on, posted_by="me"
                    )
                ]
            )

    # ---------------------------------------------------------------- what must be found

    def bank(self, account: str, on: date) -> int | None:
        """Closing balance of the newest statement up to the day, and what was booked since."""
        past = [each for each in self.statements[account] if each[2] <= on]
        if not past:
            return None
        _, _, ends, opening, moved = past[-1]
        since = sum(each.amount for each in self.booked(account, on) if each.booked_on > ends)
        held: int = opening + sum(each.amount for each in moved) + since
        return held

    def booked(self, account: str, on: date) -> list[Any]:
        return [each for *_, moved in self.statements[account] for each in moved if each.booked_on <= on]

    def brought_forward(self, account: str, on: date) -> int:
        """What the first statement opened with, and what lies between one and the next."""
        past = [each for each in self.statements[account] if each[2] <= on]
        found, closing = 0, 0
        for _, _, _, opening, moved in past:
            found, closing = found + opening - closing, opening + sum(each.amount for each in moved)
        return found

    async def lines(self, code: str) -> list[tuple[date, int, str | None]]:
        """(day, amount, transaction) of each line of the account."""
        rows = await self.trade.company.owner.fetch(
            "SELECT sequence, effective_date, amount FROM ledger.line JOIN ledger.account USING (ledger_id, account_id) WHERE code = $1",
            code,
        )
        links = dict(await self.trade.company.owner.fetch(
            "SELECT sequence, external_id FROM mirror.document_entry WHERE kind = 'bank_transaction'"))  # fmt: skip
        reverses = dict(await self.trade.company.owner.fetch("SELECT sequence, reverses FROM ledger.entry"))
        found = []
        for sequence, on, amount in rows:
            origin = sequence
            while origin is not None and origin not in links:
                origin = reverses[origin]
            found.append((on, amount, links.get(origin)))
        return found


@pytest.mark.parametrize("seed", range(3))
async def test_it_adds_up_on_each_day(trade: Trade, seed: int) -> None:
    walk = Walk(trade, random.Random(seed))
    seen: dict[str, int] = dict.fromkeys(("missing", "in_transit", "outstanding", "brought_forward"), 0)
    for number in range(36):
        await walk.step()
        if number % 6 == 5:
            for ahead in range(0, 70, 3):
                await _adds_up(walk, FIRST + timedelta(days=ahead), seen)
    assert min(seen.values()) > 5, seen


async def _adds_up(walk: Walk, on: date, seen: dict[str, int]) -> None:
    found = await found_on(walk.trade, on)
    for account, code in CODES.items():
        if not walk.statements[account]:
            continue
        each = found[code]
        lines = [line for line in await walk.lines(code) if line[0] <= on]
        assert each.books == sum(amount for _, amount, _ in lines)
        assert each.bank == walk.bank(account, on)
        assert each.in_transit == sum(amount for _, amount, origin in lines if origin is None and amount > 0)
        assert each.outstanding == -sum(amount for _, amount, origin in lines if origin is None and amount < 0)
        assert sum(row["amount"] for row in each.lines) == each.in_transit - each.outstanding
        assert sum(row["bank"] - row["books"] for row in each.transactions) == each.missing
        if each.bank is not None:
            assert each.brought_forward == walk.brought_forward(account, on)
            assert each.bank - each.brought_forward - each.missing + each.in_transit - each.outstanding == each.books
        for name in seen:
            seen[name] += bool(getattr(each, name))
        _rows_are_right(walk, account, on, each, lines)


async def test_items_before_the_first_day_are_brought_forward(trade: Trade) -> None:
    await trade.moved(money("t1", 10_00))
    statement = Kit.statement("s2", money("t2", 5_00, day=date(2026, 3, 20)), account=BankAccount(external_id=BANK, currency="EUR", iban=BANK),
                              opening=10_00, closing=15_00, from_date=date(2026, 3, 20), to_date=date(2026, 3, 20))  # fmt: skip
    await trade.company.state(statement, source="bank")
    await trade.company.look()
    await post(trade, "old", date(2026, 3, 10), "1000", 7_00)
    await post(trade, "new", date(2026, 3, 15), "1000", -2_00)
    whole = (await found_on(trade, date(2026, 3, 31)))["1000"]
    assert (whole.brought_forward, whole.in_transit, whole.outstanding, whole.difference) == (0, 7_00, 2_00, -5_00)
    part = (await found_on(trade, date(2026, 3, 31), since=date(2026, 3, 11)))["1000"]
    assert (part.brought_forward, part.in_transit, part.outstanding, part.difference) == (-7_00, 0, 2_00, -5_00)


def _rows_are_right(
    walk: Walk, account: str, on: date, each: BankReconciliation, lines: list[tuple[date, int, str | None]]
) -> None:
    bank = {moved.external_id: moved.amount for moved in walk.booked(account, on)}
    books: dict[str, int] = {}
    for _, amount, origin in lines:
        if origin is not None:
            books[origin] = books.get(origin, 0) + amount
    expected = {
        name: (bank.get(name, 0), books.get(name, 0))
        for name in {*bank, *books}
        if bank.get(name, 0) != books.get(name, 0)
    }
    assert {row["external_id"]: (row["bank"], row["books"]) for row in each.transactions} == expected


# ---------------------------------------------------------------- by hand


async def test_accounts_without_balances_or_codes_say_what_is_not_known(trade: Trade) -> None:
    await trade.moved(money("t1", 10_00))
    each = (await found_on(trade, date(2026, 3, 31)))["1000"]
    assert (each.bank, each.difference, each.brought_forward, each.books, each.missing) == (None, None, None, 10_00, 0)
    version = await trade.company.use_rules(RULES.replace(f'"{BANK}" = "1000"', ""))
    each = (await found_on(trade, date(2026, 3, 31), version))[None]
    assert (each.books, each.missing, [row["external_id"] for row in each.transactions]) == (None, 10_00, ["t1"])


async def test_bank_accounts_of_one_ledger_account_are_reconciled_together(trade: Trade) -> None:
    version = await trade.company.use_rules(RULES.replace('"1010"\n', '"1000"\n'))
    await trade.moved(money("t1", 10_00))
    await trade.moved(money("t2", 5_00), account=OTHER_BANK)
    found = await found_on(trade, date(2026, 3, 31), version)
    assert list(found) == ["1000"]
    assert (found["1000"].books, found["1000"].missing, found["1000"].line_count) == (15_00, 0, 0)
    assert {held.account for held in found["1000"].held} == {BANK, OTHER_BANK}


async def test_it_is_read_in_the_graph_by_who_may(trade: Trade, database_url: str) -> None:
    moved = [money("t1", 10_00), money("t2", -3_00, day=date(2026, 3, 20))]
    statement = Kit.statement("s1", *moved, account=BankAccount(external_id=BANK, currency="EUR", iban=BANK), opening=100_00,
                              closing=107_00, from_date=date(2026, 3, 1), to_date=date(2026, 3, 20))  # fmt: skip
    await trade.company.state(statement, source="bank")
    await trade.company.look()
    await post(trade, "opening", date(2026, 1, 1), "1000", 100_00)
    await post(trade, "cheque", date(2026, 3, 19), "1000", -8_00)
    query = """query ($day: Date) { bankAndBooks(ledger: "acme-us") { reconciliations(asOf: $day) {
        ledgerAccount currency asOf bankBalance broughtForward notInBooks inTransit outstanding booksBalance difference
        bankAccounts { balance bankAccount { externalId } } transactionCount transactions { transaction { externalId } bank books difference }
        lineCount lines { amount dated entry { description } } } } }"""
    async with open_graph(database_url) as graph:
        (found,) = (await graph.data(query, {"day": "2026-03-31"}))["bankAndBooks"]["reconciliations"]
        assert found == {
            "ledgerAccount": "1000", "currency": "EUR", "asOf": "2026-03-31", "bankBalance": "107.00", "broughtForward": "100.00",
            "notInBooks": "0.00", "inTransit": "100.00", "outstanding": "8.00", "booksBalance": "99.00", "difference": "8.00",
            "bankAccounts": [{"balance": "107.00", "bankAccount": {"externalId": BANK}}],
            "transactionCount": 0, "transactions": [], "lineCount": 2,
            "lines": [{"amount": "100.00", "dated": "2026-01-01", "entry": {"description": "opening"}},
                      {"amount": "-8.00", "dated": "2026-03-19", "entry": {"description": "cheque"}}],
        }  # fmt: skip
        for scopes in (("cash:read", "invoices:read"), ("ledger:read", "cash:read")):
            assert (await graph.run(query, by=caller(*scopes)))["refused"] == 403
        answer = await graph.run(query, by=caller("cash:read", "invoices:read", "ledger:read", ledgers=["other"]))
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
