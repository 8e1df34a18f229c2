"""Places, gaps, visibility and currencies after any changes are those of a computation over everything that is held."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.database.pool import Database
from sources.documents import BankAccount, BankStatement, Deletion, Document, Page
from sources.mirror import state, store
from sources.mirror.chain import Link, gaps, ordered
from sources.mirror.places import PER_DAY
from sources.mirror.settings import SourceSettings
from tests.examples import FACTOR
from tests.sources.mirror.kit import Kit

FIRST = date(2026, 3, 1)


@dataclass
class Books:
    """One source whose pages a test stores, and who sees everything."""

    owner: asyncpg.Connection[Any]
    connection: Any
    ledgers: Mapping[str, int]
    source: str
    number: Any = field(default_factory=lambda: count(1))

    @property
    def settings(self) -> SourceSettings:
        return Kit.bank(name=self.source)

    async def take(self, documents: Sequence[Document], gone: Sequence[str] = ()) -> None:
        found = await state.standing(self.connection, self.settings, self.ledgers["acme-eu"])
        run = await store.begin(self.connection, self.settings, self.ledgers, found)
        deletions = [Deletion(kind="bank_statement", external_id=each) for each in gone]
        cursor = str(next(self.number))
        await store.store_page(
            self.connection, run, Page(documents=documents, deletions=deletions, cursor=cursor, complete=True)
        )
        await store.end(self.connection, run, None, everything=False)

    async def is_right(self) -> None:
        rows = await self.owner.fetch("SELECT * FROM mirror.bank_statement WHERE source = $1", self.source)
        chains: dict[tuple[str, str], list[Link]] = defaultdict(list)
        for row in rows:
            if not row["provisional"] and row["deleted_at"] is None:
                link = Link(row["external_id"], row["currency"], row["ends_on"], row["opening"], row["closing"])
                chains[row["account"], row["currency"]].append(link)
        expected: dict[str, tuple[int, str | None]] = {}
        for links in chains.values():
            chain = ordered(links)
            told, days = gaps(chain), defaultdict[int, Any](lambda: count(1))
            for link in chain:
                on = (link.ends_on or date.min).toordinal()
                expected[link.external_id] = (on * PER_DAY + next(days[on]), told.get(link.external_id))
        placed = {row["external_id"]: (row["rank"], row["gap"]) for row in rows}
        assert placed == {each: expected.get(each, (0, None)) for each in placed}
        await self._visible(rows, chains)

    async def _visible(self, rows: Sequence[Any], chains: Mapping[tuple[str, str], Sequence[Link]]) -> None:
        of = {row["external_id"]: row for row in rows}
        moved = await self.owner.fetch("SELECT * FROM mirror.bank_transaction WHERE source = $1", self.source)
        until = {chain: max(each.ends_on or date.min for each in links) for chain, links in chains.items()}
        same: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in moved:
            same[row["account"], row["external_id"]].append(row)
        currencies: dict[str, set[str]] = defaultdict(set)
        for (account, _), group in same.items():
            best = max(group, key=lambda row: _weight(row, of[row["statement"]]))
            end = until.get((account, of[best["statement"]]["currency"]), date.min)
            covered = best["provisional"] and best["dated_on"] is not None and best["dated_on"] <= end
            counts = best["deleted_at"] is None and not covered
            for row in group:
                assert row["visible"] == (counts and row is best), (row["external_id"], row["statement"])
            if counts:
                currencies[account].add(best["currency"])
        for row in rows:
            if row["deleted_at"] is None:
                currencies[row["account"]].add(row["currency"])
        accounts = await self.owner.fetch("SELECT * FROM mirror.bank_account WHERE source = $1", self.source)
        for account in accounts:
            assert account["currencies"] == sorted(currencies[account["external_id"]])
            assert (account["deleted_at"] is None) == bool(account["currencies"])


def _weight(row: Any, statement: Any) -> tuple[bool, bool, date, datetime, str]:
    here, firm = row["deleted_at"] is None, not row["provisional"]
    return here, firm, statement["ends_on"] or date.min, statement["first_seen"], statement["external_id"]


@asynccontextmanager
async def opened(db: Database, owner: Any, ledgers: Mapping[str, int], source: str) -> AsyncIterator[Books]:
    connection = await db.connect_direct()
    try:
        await state.prepare(connection)
        yield Books(owner, connection, ledgers, source)
    finally:
        await connection.close()


BALANCES = st.one_of(st.none(), st.integers(0, 3).map(lambda number: number * 100))
DAYS = st.one_of(st.none(), st.integers(1, 5))


@st.composite
def _statement(draw: Any) -> BankStatement:
    name, end = draw(st.sampled_from("abcdefgh")), draw(DAYS)
    account = BankAccount(
        external_id=draw(st.sampled_from(["one", "one", "one", "two"])),
        currency=draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"])),
    )
    moved = [
        Kit.moved(each, 5, FIRST + timedelta(days=on), currency=draw(st.sampled_from(["EUR", account.currency])))
        for each, on in draw(st.dictionaries(st.sampled_from(["t1", "t2", f"of {name}"]), st.integers(1, 5))).items()
    ]
    return Kit.statement(
        name,
        *moved,
        account=account,
        provisional=draw(st.sampled_from([False, False, False, True])),
        to_date=None if end is None else FIRST + timedelta(days=end),
        opening=draw(BALANCES),
        closing=draw(BALANCES),
    )


PAGES = st.lists(
    st.tuples(st.lists(_statement(), max_size=4), st.lists(st.sampled_from("abcdefgh"), max_size=2)), max_size=6
)


async def test_changes_leave_what_a_computation_over_everything_finds(
    db: Database, owner: Any, ledgers: Mapping[str, int]
) -> None:
    """Statements that come, go, change their day, account, currency or balances, several at once, in any order."""
    loop, numbers = asyncio.get_running_loop(), count(1)

    @settings(
        max_examples=round(60 * FACTOR) or 1,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    @given(pages=PAGES)
    def everything(pages: Any) -> None:
        asyncio.run_coroutine_threadsafe(check(pages), loop).result()

    async def check(pages: Any) -> None:
        async with opened(db, owner, ledgers, f"bank-{next(numbers)}") as books:
            for documents, gone in pages:
                await books.take(documents, gone)
                await books.is_right()

    await asyncio.to_thread(everything)


async def test_a_late_statement_moves_its_own_day_and_tells_the_next_one(
    db: Database, owner: Any, ledgers: Mapping[str, int]
) -> None:
    """And no other: rows that need not change are not written."""
    async with opened(db, owner, ledgers, "bank") as books:
        held = [
            Kit.statement(f"s{n:02}", to_date=FIRST + timedelta(days=n), opening=n * 10, closing=n * 10 + 10)
            for n in range(40)
            if n != 20
        ]
        await books.take(held)
        query = "SELECT external_id, xmin::text FROM mirror.bank_statement"
        before = dict(await owner.fetch(query))
        late = Kit.statement("s20", to_date=FIRST + timedelta(days=20), opening=200, closing=210)
        await books.take([late])
        after = dict(await owner.fetch(query))
        assert {each for each in after if after[each] != before.get(each)} == {"s20", "s21"}
        await books.is_right()


async def test_places_of_before_are_kept_by_an_upgrade(db: Database, owner: Any, ledgers: Mapping[str, int]) -> None:
    """As an earlier version numbered them, through the account, they are numbered by day."""
    from sources.database.migrations.scripts import _SOURCES

    async with opened(db, owner, ledgers, "bank") as books:
        days = [None, 1, 1, 3, 3, 4]
        await books.take([
            Kit.statement(f"s{n}", to_date=day and FIRST + timedelta(days=day), opening=n, closing=n + 1)
            for n, day in enumerate(days)
        ])  # fmt: skip
        await owner.execute(
            "WITH n AS (SELECT external_id, row_number() OVER (ORDER BY rank) AS rank FROM mirror.bank_statement) "
            "UPDATE mirror.bank_statement held SET rank = n.rank FROM n WHERE n.external_id = held.external_id"
        )
        script = (_SOURCES / "mirror" / "sql" / "0023_places.sql").read_text(encoding="utf-8")
        await owner.execute(script.split("CREATE INDEX")[0])
        await books.is_right()
        await books.take([Kit.statement("new", to_date=FIRST + timedelta(days=3), opening=4, closing=4)])
        await books.is_right()
