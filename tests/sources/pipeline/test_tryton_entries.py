"""Tryton through to the ledger: what is posted there is an entry here that equals Tryton's own move, and a bill that disagrees with
its order waits until it agrees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from sources.connectors.tryton import TrytonConnector
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mapping.matching_bills import CODE
from sources.mirror import state, store
from sources.mirror.issues import IssueKey
from sources.pipeline import resolving
from tests.sources.connectors.test_tryton_live import ADVICE, FREIGHT, NAILS, connected
from tests.sources.connectors.tryton_server import BOLTS, STEEL, Tryton, day, running
from tests.sources.pipeline.company import EVERYONE, Company, opened

ACCOUNTS = {
    "receivable": ("1100", AccountType.ASSET),
    "payable": ("2000", AccountType.LIABILITY),
    "revenue": ("4000", AccountType.REVENUE),
    "expense": ("6000", AccountType.EXPENSE),
    "sales_tax": ("1700", AccountType.LIABILITY),
    "purchase_tax": ("1700", AccountType.LIABILITY),
    "rounding": ("7000", AccountType.EXPENSE),
    "exchange_gain": ("7000", AccountType.EXPENSE),
    "exchange_loss": ("7000", AccountType.EXPENSE),
}
HERE = {
    "1.2.1": "1100",
    "2.1.1": "2000",
    "4.1.1": "4000",
    "4.1.2": "4100",
    "5.1.3": "6000",
    "2.2.1": "6300",
    "6.3.6": "1700",
    "6.3.4": "1710",
}
"""Code at Tryton -> code of the ledger."""
RULES = "\n".join(
    [
        'extends = "starter"',
        "[accounts]",
        *[f'{name} = "{code}"' for name, (code, _) in ACCOUNTS.items()],
        "[tables.revenue_accounts]",
        *[f'"{there}" = "{HERE[there]}"' for there in ("4.1.1", "4.1.2")],
        "[tables.expense_accounts]",
        *[f'"{there}" = "{HERE[there]}"' for there in ("5.1.3", "2.2.1")],
        "[tables.sales_tax]",
        '"VAT 0.055" = "1710"',
    ]
)
MORE = {"1710": AccountType.LIABILITY, "6300": AccountType.EXPENSE}


@dataclass
class Books:
    """A company that keeps its books in euro, whose only source is a Tryton."""

    company: Company
    connector: TrytonConnector

    async def catch_up(self) -> None:
        """One pull, and the pipeline until nothing is due."""
        company, settings = self.company, self.company.source("erp")
        ledgers = {company.ledger.code: company.ledger.ledger_id}
        found = await state.standing(company.speaking, settings, company.ledger.ledger_id)
        run = await store.begin(company.speaking, settings, ledgers, found)
        async for page in self.connector.pull(run.cursor):
            await store.store_page(company.speaking, run, page)
        await store.end(company.speaking, run, None, everything=False)
        await company.look()
        assert await company.findings() == []

    async def posted(self, invoice: int) -> list[tuple[date, dict[str, int]]]:
        """Entries of a document in order: effective date, and cents by account."""
        rows = await self.company.owner.fetch(_POSTED, self.company.ledger.ledger_id, str(invoice))
        found: dict[int, tuple[date, dict[str, int]]] = {}
        for row in rows:
            entry = found.setdefault(row["sequence"], (row["effective_date"], {}))
            entry[1][row["code"]] = entry[1].get(row["code"], 0) + row["amount"]
        return list(found.values())


_POSTED = """
SELECT entry.sequence, entry.effective_date, account.code, line.amount
FROM mirror.document_entry link
JOIN ledger.entry ON entry.ledger_id = $1 AND entry.sequence = link.sequence
JOIN ledger.line ON line.ledger_id = $1 AND line.sequence = entry.sequence
JOIN ledger.account ON account.ledger_id = $1 AND account.account_id = line.account_id
WHERE link.ledger_id = $1 AND link.external_id = $2
ORDER BY entry.sequence"""


def here(moved: dict[str, int]) -> dict[str, int]:
    """What Tryton's move puts on its accounts, by the ledger's codes."""
    return {HERE[there]: amount for there, amount in moved.items()}


@pytest.fixture
def tryton(tmp_path: Path) -> Iterator[Tryton]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
async def books(tryton: Tryton, database_url: str, owner_url: str) -> AsyncIterator[Books]:
    async with opened(database_url, owner_url, currency="EUR") as company:
        drafts = [
            AccountDraft(code=code, name=code, type=kind) for code, kind in {**dict(ACCOUNTS.values()), **MORE}.items()
        ]
        await administration.create_accounts(company.database, EVERYONE, ledger=company.ledger.code, accounts=drafts)
        await company.use_rules(RULES)
        company.post_from = day(1, 1)
        connector = connected(tryton)
        yield Books(company, connector)
        await connector.close()


async def test_what_tryton_posts_is_posted_here_and_what_it_cancels_is_reversed(tryton: Tryton, books: Books) -> None:
    """Sale, credit note and bill: each entry is balanced and equals the move; a cancelled one is reversed; drafts post nothing."""
    sale = tryton.sale(day(3, 2), NAILS, ADVICE)
    credit = tryton.do("credit", record_id=sale, day=day(3, 4))
    bill = tryton.bill(day(3, 5), "SW-7", FREIGHT)
    draft = tryton.bill(day(3, 6), "SW-8", FREIGHT, post=False)
    await books.catch_up()
    for invoice, on in ((sale, day(3, 2)), (credit, day(3, 4)), (bill, day(3, 5))):
        moved = here(tryton.moved(invoice))
        assert len(moved) >= 3
        assert sum(moved.values()) == 0
        assert await books.posted(invoice) == [(on, moved)]
    assert (await books.company.statuses())[str(draft)] == "NOTHING"

    assert tryton.click(bill, "cancel") == "cancelled"
    await books.catch_up()
    _, (_, reversal) = await books.posted(bill)
    assert reversal == here(tryton.moved(bill, "cancel_move"))
    assert (await books.company.statuses())[str(bill)] == "NOTHING"
    assert await books.company.nets() == {}
    assert await books.company.issues() == {}


async def test_days_are_those_of_trytons_own_moves_and_names_post_nothing(tryton: Tryton, books: Books) -> None:
    bill = tryton.bill(day(3, 5), "SW-7", FREIGHT, post=False)
    tryton.do("account_on", record_id=bill, day=day(4, 1))
    assert tryton.click(bill, "post") == "posted"
    await books.catch_up()
    moved = here(tryton.moved(bill))
    assert tryton.do("move_day", record_id=bill) == str(day(4, 1))
    assert await books.posted(bill) == [(day(4, 1), moved)]

    tryton.do("rename", party=STEEL, name="Steel & Sons")
    tryton.click(bill, "cancel")
    await books.catch_up()
    on = date.fromisoformat(tryton.do("move_day", record_id=bill, field="cancel_move"))
    assert await books.posted(bill) == [(day(4, 1), moved), (on, here(tryton.moved(bill, "cancel_move")))]


async def test_a_bill_that_disagrees_with_its_order_waits_until_it_agrees(tryton: Tryton, books: Books) -> None:
    """One agrees and posts. One has a receipt that is short of what it bills, until a second receipt; one has another price,
    until a person lets it pass."""
    orders = [tryton.do("order", party=STEEL, product=BOLTS, quantity="10", price="4.5") for _ in range(3)]
    matched, short, dear = [
        tryton.do("receive", purchase=each, quantity=much)[0]
        for each, much in zip(orders, ("10", "8", "10"), strict=True)
    ]
    tryton.do("amend", record_id=matched, day=day(4, 1), reference="SW-10")
    tryton.do("amend", record_id=short, day=day(4, 2), reference="SW-11", quantity="10")
    tryton.do("amend", record_id=dear, day=day(4, 3), reference="SW-12", price="5")
    for each in (matched, short, dear):
        assert tryton.click(each, "post") == "posted"
    await books.catch_up()
    assert await books.posted(matched) == [(day(4, 1), here(tryton.moved(matched)))]
    assert (await books.posted(short), await books.posted(dear)) == ([], [])
    assert await books.company.issues() == {(CODE, str(short)): True, (CODE, str(dear)): True}
    rows = await books.company.owner.fetch("SELECT external_id, source, code, subject, message FROM mirror.issue")
    said = {int(row["external_id"]): row for row in rows}
    assert said[short]["message"] == "'Bolts' of order 2: billed 10, received 8."
    assert said[dear]["message"] == "'Bolts' of order 3: unit price 5, ordered at 4.5."

    tryton.do("receive", purchase=orders[1])
    await books.catch_up()
    assert await books.posted(short) == [(day(4, 2), here(tryton.moved(short)))]
    assert await books.company.issues() == {(CODE, str(short)): False, (CODE, str(dear)): True}

    row = said[dear]
    issue = IssueKey(row["source"], row["code"], row["subject"])
    await resolving.resolve_issue(
        books.company.database, books.company.ledger.ledger_id, issue, by="ada", note="agreed"
    )
    await books.company.look()
    assert await books.posted(dear) == [(day(4, 3), here(tryton.moved(dear)))]
    assert await books.company.findings() == []
