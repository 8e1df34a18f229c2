"""Random lives of a company, and two workers at once: the clearing account is always what of the bank is not matched."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import date, timedelta

import pytest

from sources.database.pool import Database
from sources.documents import BankTransaction, Invoice
from sources.errors import LedgergraphError
from sources.ledger.posting import Poster
from sources.matching import actions
from sources.pipeline.worker import Pipeline
from tests.sources.matching.trade import Trade, bill, credit_note, invoice, money, statement, void
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import changed

PARTIES = ("Globex GmbH", "Hooli Inc", "Initech Ltd")
ACTIONS = (
    "bill",
    "pay",
    "pay",
    "pay",
    "vague",
    "void",
    "charge",
    "restate",
    "return",
    "confirm",
    "confirm",
    "reject",
    "unmatch",
    "forget",
)


class Life:
    """One seed's company: what it was invoiced, and what moved."""

    def __init__(self, trade: Trade, seed: int) -> None:
        self.trade = trade
        self.chance = random.Random(seed)
        self.invoices: list[Invoice] = []
        self.moved: list[BankTransaction] = []

    async def step(self) -> None:
        await getattr(self, self.chance.choice(ACTIONS))()
        await self.trade.company.look()

    async def bill(self) -> None:
        number, amount = len(self.invoices) + 1, self.chance.choice((49_00, 99_00, 130_00))
        make = self.chance.choice((invoice, invoice, invoice, bill, credit_note))
        self.invoices.append(make(f"D-2026-{number:05}", amount, self.chance.choice(PARTIES)))
        await self.trade.company.state(self.invoices[-1], source="sales")

    async def move(self, amount: int, text: str, name: str | None) -> None:
        """A statement for each transaction, so that one can be stated anew."""
        number = len(self.moved) + 1
        day = date(2026, 3, 2) + timedelta(days=number)
        self.moved.append(money(f"t{number}", amount, text, name=name, day=day))
        await self.trade.company.state(statement(f"s{number}", self.moved[-1]), source="bank")

    async def pay(self) -> None:
        if not self.invoices:
            return await self.bill()
        about = self.chance.choice(self.invoices)
        sign = -1 if (about.direction == "PAYABLE") != (about.kind == "CREDIT_NOTE") else 1
        part = self.chance.choice((1, 1, 1, 2, 3))
        text = f"{about.number} {'instalment' if part > 1 else ''}"
        return await self.move(sign * about.total // part, text, self.chance.choice((about.party.name, None)))

    async def vague(self) -> None:
        await self.move(self.chance.choice((49_00, 98_00, 99_00, -49_00)), "thanks", self.chance.choice(PARTIES))

    async def void(self) -> None:
        if self.invoices:
            at = self.chance.randrange(len(self.invoices))
            before = self.invoices[at]
            gone = before.amount_due == 0
            more = {"status": "OPEN", "amount_due": before.total} if gone else void(before)
            self.invoices[at] = changed(before, **more)
            await self.trade.company.state(self.invoices[at], source="sales")

    async def charge(self) -> None:
        """A processor's payment of an invoice becomes known late."""
        if self.invoices:
            about = self.chance.choice(self.invoices)
            if about.direction == "RECEIVABLE" and about.kind == "INVOICE":
                paid = Kit.payment(
                    f"ch_{about.external_id}", amount=about.total, fee=0, net=about.total, currency="EUR",
                    invoice_external_id=about.external_id, occurred_on=date(2026, 4, 1),
                )  # fmt: skip
                await self.trade.company.state(paid, source="sales")

    async def restate(self) -> None:
        if self.moved:
            at = self.chance.randrange(len(self.moved))
            more = self.chance.choice(({"amount": self.moved[at].amount * 2}, {"description": "D-2026-00001"}))
            self.moved[at] = changed(self.moved[at], **more)
            await self.trade.company.state(statement(f"s{at + 1}", self.moved[at]), source="bank")

    async def return_(self) -> None:
        if self.moved:
            back = self.chance.choice(self.moved)
            await self.move(-back.amount, f"RETURN {back.description}", back.counterparty)

    async def decide(self, name: str, status: str) -> None:
        company = self.trade.company
        query = "SELECT match_id FROM matching.match WHERE status = ANY($1::text[]) ORDER BY match_id"
        numbers = [row[0] for row in await company.owner.fetch(query, status.split())]
        if numbers:
            with contextlib.suppress(LedgergraphError):
                await getattr(actions, name)(
                    company.database, company.ledger.ledger_id, self.chance.choice(numbers), by="ann"
                )

    async def confirm(self) -> None:
        await self.decide("confirm", "PROPOSED")

    async def reject(self) -> None:
        await self.decide("reject", "PROPOSED")

    async def unmatch(self) -> None:
        await self.decide("unmatch", "CERTAIN CONFIRMED")

    async def forget(self) -> None:
        company = self.trade.company
        numbers = await company.owner.fetch("SELECT rule_id FROM matching.rule WHERE removed_at IS NULL")
        if numbers:
            number = self.chance.choice(numbers)[0]
            await actions.remove_rule(company.database, company.ledger.ledger_id, number, by="ann")


setattr(Life, "return", Life.return_)


async def is_balanced(trade: Trade) -> None:
    await trade.is_sound()
    left = await trade.company.owner.fetchval(
        "SELECT coalesce(sum(amount - used), 0)::bigint FROM matching.item WHERE kind = 'bank_transaction'"
    )
    assert await trade.net("bank_clearing") == -left
    assert await trade.company.issues() == {}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_clearing_account_is_what_is_not_matched(trade: Trade, seed: int) -> None:
    life = Life(trade, seed)
    for number in range(60):
        await life.step()
        if number % 10 == 9:
            await is_balanced(trade)


async def test_two_workers_match_a_ledger_in_turns(trade: Trade, database_url: str) -> None:
    """Each over connections of its own, as two processes are, with documents that come in between."""
    numbers = range(10_001, 10_121)
    async with Database(database_url, readers=1, writers=3) as other:
        poster = Poster(other, queue_limit=20_000)
        company = trade.company
        workers = [company.pipeline, Pipeline(other, poster, batch=7)]
        done = asyncio.Event()

        async def work(pipeline: Pipeline) -> None:
            while not done.is_set():
                await pipeline.run_ledger(company.ledger.ledger_id)
                await asyncio.sleep(0)

        running = [asyncio.create_task(work(each)) for each in workers]
        for start in range(numbers.start, numbers.stop, 20):
            some = range(start, start + 20)
            await company.state(
                statement(f"s{start}", *(money(f"t{n}", 10_00, f"INV-{n}") for n in some)), source="bank"
            )
            await company.state(*(invoice(f"INV-{n}", 10_00) for n in some), source="sales")
        done.set()
        await asyncio.gather(*running)
        await company.look()
        await poster.close()
    assert len(await trade.live()) == len(numbers)
    assert await trade.net("receivable") == 0
    await is_balanced(trade)
