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
from sources.matching.model import ItemKey, Side
from sources.matching.stating import Stated
from sources.money import format_minor
from sources.pipeline import reconciliation
from sources.pipeline.control_accounts import tie_subledgers
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.worker import Pipeline
from tests.sources.matching.test_wages import slips
from tests.sources.matching.trade import BANK, Trade, bill, credit_note, invoice, money, payroll, statement, void
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
    "by_hand",
    "by_hand",
    "advance",
    "wages",
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
                    party=about.party,
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

    async def by_hand(self) -> None:
        """Some of a transaction is for a document, and the rest of it, or nothing, is a fee, written off, kept on account, or goes to an
        account. Much of it does not fit, and is refused."""
        company, chance = self.trade.company, self.chance
        lines = await company.owner.fetch(_ITEMS, ["bank_transaction"])
        documents = await company.owner.fetch(_ITEMS, ["invoice", "payroll_run", "bank_transaction"])
        if not lines or not documents:
            return
        line, about = chance.choice(lines), chance.choice(documents)
        amount = chance.choice((about["open"], line["open"], line["open"] // 2, about["open"] * 2))
        parts = [(ItemKey(*about[:4]), amount)]
        if rest := line["open"] - amount:
            name = chance.choice(("fee", "write_off", "on_account", "account", None))
            parts += [(ItemKey(name, "", "", "6000" if name == "account" else ""), rest)] if name else []
        stated = [
            Stated(key=key, amount=format_minor(part, 2), side=_SIDES.get(key.kind, Side.CLEARING))
            for key, part in parts
        ]
        with contextlib.suppress(LedgergraphError):
            await actions.match(company.database, company.ledger.ledger_id, ItemKey(*line[:4]), stated, by="ann")

    async def advance(self) -> None:
        """Money before the invoice, which a person leaves on account."""
        company, party = self.trade.company, self.chance.choice(PARTIES)
        await self.move(self.chance.choice((50_00, 99_00, 130_00)), "advance", party)
        await company.look()
        line = ItemKey("bank_transaction", "bank", BANK, self.moved[-1].external_id)
        open_ = (await self.trade.open()).get(line.external_id)
        if open_:
            key = ItemKey("on_account", "", "", "")
            whose = party.lower().replace(" ", "-")
            stated = Stated(key=key, amount=format_minor(open_, 2), side=Side.RECEIVABLE, party_id=whose)
            with contextlib.suppress(LedgergraphError):
                await actions.match(company.database, company.ledger.ledger_id, line, [stated], by="ann")

    async def wages(self) -> None:
        """A payroll run of two, stated anew at times, and a line that pays one of them."""
        number = self.chance.randint(1, 3)
        day = date(2026, 3, 2) + timedelta(days=len(self.moved))
        nets = (self.chance.choice((49_00, 98_00)), 98_00)
        stated = changed(
            payroll(f"run-{number}", sum(nets), day), payslips=slips(("Ann Roe", nets[0]), ("Bo Ott", nets[1]))
        )
        await self.trade.company.state(stated, source="payroll")
        await self.move(-self.chance.choice(nets), "SALARY", self.chance.choice(("Ann Roe", "Bo Ott", None)))

    async def forget(self) -> None:
        company = self.trade.company
        numbers = await company.owner.fetch("SELECT rule_id FROM matching.rule WHERE removed_at IS NULL")
        if numbers:
            number = self.chance.choice(numbers)[0]
            await actions.remove_rule(company.database, company.ledger.ledger_id, number, by="ann")


setattr(Life, "return", Life.return_)


_ITEMS = """
SELECT kind, source, account, external_id, amount - used AS open FROM matching.item
WHERE kind = ANY($1::text[]) AND ready AND used <> amount ORDER BY 1, 2, 3, 4"""
_SIDES = {"fee": Side.FEES, "write_off": Side.WRITE_OFF, "account": Side.ACCOUNT}
_OVER = """
SELECT m.match_id FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
JOIN matching.item i ON (i.ledger_id, i.kind, i.source, i.account, i.external_id)
    = (m.ledger_id, 'bank_transaction', m.source, m.account, m.external_id)
WHERE m.status IN ('CERTAIN', 'CONFIRMED')
GROUP BY m.match_id, i.amount HAVING abs(sum(a.bank_amount)) > abs(i.amount) OR sum(a.bank_amount) * i.amount < 0"""
_ON_CLEARING = """
SELECT coalesce(sum(CASE kind WHEN 'bank_transaction' THEN used - amount ELSE amount - used END), 0)::bigint
FROM matching.item WHERE kind IN ('bank_transaction', 'payroll_run')"""


async def is_balanced(trade: Trade) -> None:
    """What is used is what live matches allocate, and no more than there is; the clearing account is what is left of both sides; what
    customers and suppliers owe by their documents, with what is on account, is on the control accounts."""
    await trade.is_sound()
    assert await trade.company.owner.fetch(_OVER) == []
    assert await trade.net("bank_clearing") == await trade.company.owner.fetchval(_ON_CLEARING)
    assert await trade.company.issues() == {}
    company = trade.company
    async with reconciliation.reading(company.database, company.ledger.ledger_id) as connection:
        report = await reconciliation.open_report(connection, company.ledger.ledger_id, "sales")
        standing = await RuleBook().standing(connection, company.ledger.ledger_id, report.books.rules)
        subledgers = await tie_subledgers(connection, company.ledger.ledger_id, standing, date(2030, 1, 1))
    found = {tied.party: tied.balance - tied.open for subledger in subledgers for tied in subledger.parties}
    assert found == {}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_clearing_account_is_what_is_not_matched(trade: Trade, seed: int) -> None:
    life = Life(trade, seed)
    await life.bill()
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
