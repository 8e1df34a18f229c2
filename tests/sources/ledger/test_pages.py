"""Pages of entries and lines: what the filters let through, in order, at a cost that does not grow with the ledger.

Blocks that a statement touches are counted, never time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import asyncpg
import pytest

from resolvers.context import Context, Services
from resolvers.entries import EntryOrder
from sources.ledger import queries, reports
from sources.ledger.directory import Directory
from sources.ledger.model import AccountType
from sources.mirror.refresh import Refresher
from sources.reading import Results, Want
from tests.sources.ledger.books import CHART, EVERYONE, Books, credit, debit, entry

ENTRY = ("sequence", "effective_date", "posted_at", "journal", "source", "reference", "total")
LINE = ("sequence", "line_number", "account_id", "effective_date")
INFO = ("has_next", "end", "has_previous", "start")
ACCOUNTS = tuple(code for code in CHART if code != "1100")
FIRST_DAY = date(2025, 12, 1)
DAYS = 60
Row = dict[str, Any]


class Counting(Context):
    """Counts the blocks that statements touch, once it is told to."""

    touched: int | None = None

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        if self.touched is not None:
            found = await super().fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", *args)
            plan = json.loads(found[0][0])[0]["Plan"]
            self.touched += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return await super().fetch(sql, *args)


@pytest.fixture
def services(books: Books) -> Services:
    refresher = Refresher(books.database, (), deadline=1)
    return Services(books.database, Directory(books.database), books.poster, refresher)


async def post_many(books: Books, many: int, chance: random.Random, start: int = 0) -> None:
    """Entries of two to five lines, some with several on one account; a tenth is dated far from its neighbours."""
    numbers = iter(range(start, start + many))
    while batch := list(islice(numbers, 50)):
        await books.post(*[_draft(books, chance, number, (number - start) * DAYS // many) for number in batch])


def _draft(books: Books, chance: random.Random, number: int, day: int) -> Any:
    amounts = [chance.randint(1, 500) for _ in range(chance.randint(1, 4))]
    lines = [debit(chance.choice(ACCOUNTS), str(amount)) for amount in amounts]
    lines.append(credit(chance.choice(ACCOUNTS), str(sum(amounts))))
    return entry(
        books.ledger,
        f"{number}",
        *lines,
        on=FIRST_DAY + timedelta(days=day if chance.random() < 0.9 else chance.randrange(DAYS)),
        journal=chance.choice(["SALES", "BANK", None]) if number % 97 else "RARE",
        reference=f"R-{chance.randint(1, 40)}" if chance.random() < 0.7 else None,
        origin=chance.choice(["", "", "shop", "payroll"]) if number % 89 else "once",
    )


async def pages(
    context: Context, relation: Callable[..., Any], columns: tuple[str, ...], size: int, backward: bool, **args: Any
) -> list[Row]:
    """Every row of a list, page by page from one of its ends, in the list's order."""
    want = Want(("rows", "page_info", "total_count"), {"rows": Want(columns), "page_info": Want(INFO)})
    found: list[Row] = []
    cursor: dict[str, Any] = {}
    while True:
        asked = {"last" if backward else "first": size}
        results: Results = await relation(context, [], want, {"ledger": "acme-us", **args, **asked, **cursor})
        rows, info, count = results[()]
        shown = [dict(zip(columns, row, strict=False)) for row in rows]
        found = shown + found if backward else found + shown
        has_next, end, has_previous, start = info
        if not (has_previous if backward else has_next):
            assert count == len(found)
            return found
        cursor = {"before": start} if backward else {"after": end}


def entry_filters(chance: random.Random, times: Sequence[str]) -> Iterator[dict[str, Any]]:
    """None, each alone, then two or three together."""
    stated: dict[str, Callable[[], Any]] = {
        "effectiveFrom": lambda: FIRST_DAY + timedelta(days=chance.randrange(DAYS)),
        "effectiveTo": lambda: FIRST_DAY + timedelta(days=chance.randrange(DAYS)),
        "postedFrom": lambda: datetime.fromisoformat(chance.choice(times)),
        "postedTo": lambda: datetime.fromisoformat(chance.choice(times)),
        "accountCodes": lambda: chance.sample([*CHART, "nowhere"], chance.randint(0, 3)),
        "journals": lambda: chance.choice([["RARE"], ["SALES", "BANK", "SALES"], ["NONE"], []]),
        "sources": lambda: chance.choice([["shop"], ["once", "payroll"], [""], []]),
        "reference": lambda: f"R-{chance.randint(1, 41)}",
        "minTotal": lambda: str(chance.randint(1, 900)),
    }
    yield {}
    yield from ({name: value()} for name, value in stated.items())
    while True:
        yield {name: stated[name]() for name in chance.sample(list(stated), chance.randint(2, 3))}


def lets_through(filter_: Mapping[str, Any], row: Row) -> bool:
    tests: dict[str, Callable[[Any], bool]] = {
        "effectiveFrom": lambda value: row["effective_date"] >= value.isoformat(),
        "effectiveTo": lambda value: row["effective_date"] <= value.isoformat(),
        "postedFrom": lambda value: datetime.fromisoformat(row["posted_at"]) >= value,
        "postedTo": lambda value: datetime.fromisoformat(row["posted_at"]) <= value,
        "accountCodes": lambda value: not row["accounts"].isdisjoint(value),
        "accountTypes": lambda value: not row["types"].isdisjoint(value),
        "journals": lambda value: row["journal"] in value,
        "sources": lambda value: row["source"] in value,
        "reference": lambda value: row["reference"] == value,
        "minTotal": lambda value: row["total"] >= int(value) * 100,
    }
    return all(tests[name](value) for name, value in filter_.items())


async def test_pages_of_entries_and_lines_hold_what_their_filters_let_through(books: Books, services: Services) -> None:
    """Whatever the filter, the order, the page's size and the end that one begins from."""
    chance = random.Random(7)
    await post_many(books, 300, chance)
    codes = {row["account_id"]: row["code"] for row in await books.fetch("SELECT account_id, code FROM ledger.account")}
    async with Context(services, EVERYONE) as context:
        every = await pages(context, queries.entries, ENTRY, 1000, False, orderBy=EntryOrder.SEQUENCE_ASC)
        lines = await pages(context, queries.journal_lines, LINE, 1000, False)
        assert len(every) == 300
        entries = {row["sequence"]: row for row in every}
        for line in lines:
            line |= {"accounts": {codes[line["account_id"]]}, "source": entries[line["sequence"]]["source"]}
            line["types"] = {CHART[code][1] for code in line["accounts"]}
        for row in every:
            row["accounts"] = {codes[line["account_id"]] for line in lines if line["sequence"] == row["sequence"]}
        for filter_ in islice(entry_filters(chance, [row["posted_at"] for row in every]), 120):
            order, backward = chance.choice(list(EntryOrder)), chance.random() < 0.5
            asked = {"filter": filter_, "orderBy": order}
            got = await pages(context, queries.entries, ENTRY, chance.choice((3, 40, 400)), backward, **asked)
            expected = [row["sequence"] for row in every if lets_through(filter_, row)]
            if order.value.startswith("EFFECTIVE"):
                expected.sort(key=lambda sequence: (entries[sequence]["effective_date"], sequence))
            assert [row["sequence"] for row in got] == (expected[::-1] if "DESC" in order.value else expected), asked
        for _ in range(40):
            filter_ = _line_filter(chance)
            got = await pages(
                context, queries.journal_lines, LINE, chance.choice((7, 500)), chance.random() < 0.5, filter=filter_
            )
            expected = [row for row in lines if lets_through(filter_, row)]
            assert got == [{name: row[name] for name in LINE} for row in expected], filter_


def _line_filter(chance: random.Random) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "accountCodes": chance.sample([*CHART, "nowhere"], chance.randint(0, 3)),
        "accountTypes": chance.sample(list(AccountType), 3),
        "effectiveFrom": FIRST_DAY + timedelta(days=chance.randrange(DAYS)),
        "effectiveTo": FIRST_DAY + timedelta(days=chance.randrange(DAYS)),
        "sources": ["shop", "once"],
    }
    return {name: stated[name] for name in chance.sample(list(stated), chance.randint(1, 3))}


# ---------------------------------------------------------------- cost

GROWTH = 8
PAGE: dict[str, Any] = {"first": 20}
NEWEST, BY_DATE = {"orderBy": EntryOrder.SEQUENCE_DESC}, {"orderBy": EntryOrder.EFFECTIVE_DATE_DESC}
IN_DECEMBER = {"effectiveFrom": date(2025, 12, 5), "effectiveTo": date(2025, 12, 9)}
ENTRIES: dict[str, dict[str, Any]] = {
    "newest": {**NEWEST, **PAGE},
    "oldest": {"orderBy": EntryOrder.SEQUENCE_ASC, **PAGE},
    "by date": {**BY_DATE, **PAGE},
    "of some days": {**NEWEST, **PAGE, "filter": IN_DECEMBER},
    "of some days by date": {**BY_DATE, **PAGE, "filter": IN_DECEMBER},
    "of an account by date": {**BY_DATE, **PAGE, "filter": {"accountCodes": ["6000", "7000"]}},
    "of a journal that is not there": {**NEWEST, **PAGE, "filter": {"journals": ["NONE"]}},
    "of a source that is not there": {**NEWEST, **PAGE, "filter": {"sources": ["none"]}},
    "of a source": {**NEWEST, **PAGE, "filter": {"sources": ["shop"]}},
    "with a reference that is not there": {**NEWEST, **PAGE, "filter": {"reference": "none"}},
    "with a key": {**NEWEST, **PAGE, "filter": {"idempotencyKey": "77"}},
}
LINES: dict[str, dict[str, Any]] = {
    "newest": {"last": 20},
    "of an account, newest": {"last": 20, "filter": {"accountCodes": ["6000"]}},
    "of accounts, oldest": {"first": 20, "filter": {"accountCodes": ["6000", "7000"]}},
    "of an account on some days": {"first": 20, "filter": {"accountCodes": ["6000"], **IN_DECEMBER}},
}


async def touched(books: Books, services: Services) -> dict[str, int]:
    """Blocks by what was read."""
    rows = await books.fetch("SELECT posted_at::text FROM ledger.entry ORDER BY sequence DESC LIMIT 1")
    last_posted = datetime.fromisoformat(rows[0][0])
    accounts = [tuple(row) for row in await books.fetch("SELECT ledger_id, account_id FROM ledger.account")]
    count = Want(("total_count",))
    reads: dict[str, tuple[Callable[..., Any], Sequence[Any], Want, Mapping[str, Any]]] = {
        f"entries {name}": (queries.entries, (), _rows("sequence", "total", "names_version"), args)
        for name, args in ENTRIES.items()
    }
    reads |= {
        f"lines {name}": (queries.journal_lines, (), _rows("sequence", "amount"), args) for name, args in LINES.items()
    }
    since = {**NEWEST, **PAGE, "orderBy": EntryOrder.SEQUENCE_ASC, "filter": {"postedFrom": last_posted}}
    until = {**NEWEST, **PAGE, "filter": {"postedTo": last_posted - timedelta(days=1)}}
    reads |= {
        "entries posted since": (queries.entries, (), _rows("sequence"), since),
        "entries posted until": (queries.entries, (), _rows("sequence"), until),
        "entries counted": (queries.entries, (), count, NEWEST),
        "balances": (reports.balances_of_accounts, accounts[:1], Want(("net",)), {"asOf": date(2025, 12, 20)}),
        "balances today": (reports.balances_of_accounts, accounts[:1], Want(("net",)), {}),
        "trial balance": (
            reports.trial_balance,
            (),
            Want(("rows",), {"rows": Want(("code", "closing"))}),
            {"to": date(2025, 12, 20)},
        ),
    }
    found = {}
    for name, (relation, keys, want, args) in reads.items():
        async with Counting(services, EVERYONE) as context:
            await context.ledger("acme-us")
            context.touched = 0
            await relation(context, keys, want, {"ledger": "acme-us", **args})
            found[name] = context.touched
    return found


def _rows(*columns: str) -> Want:
    return Want(("rows",), {"rows": Want(columns)})


async def test_what_is_read_of_a_grown_ledger_is_as_much_as_of_a_small_one(
    books: Books, owner: asyncpg.Connection[Any], services: Services
) -> None:
    """The ledger grows eightfold, over the same days: pages, balances and counts touch the same number of blocks, but for
    a level more of an index on the way to each of them."""
    chance = random.Random(11)
    await post_many(books, 500, chance)
    await owner.execute("VACUUM ANALYZE")
    small = await touched(books, services)
    await post_many(books, 500 * (GROWTH - 1), chance, start=500)
    await owner.execute("VACUUM ANALYZE")
    grown = await touched(books, services)
    assert {name: (small[name], blocks) for name, blocks in grown.items() if blocks > small[name] * 2 + 40} == {}
