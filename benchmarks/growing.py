"""What is asked of ledgers of several sizes, and what is posted to them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import orjson

from benchmarks import touched
from benchmarks.books import DAYS, FIRST_DAY, LEDGER, POSTING_DAY, SEED, as_input, codes, entry
from benchmarks.contest import Contest
from benchmarks.questions import questions
from gateway.openbooks import Books
from sources.ledger.model import EntryDraft, LedgerRef, LineDraft, Posted
from sources.ledger.queries import ENTRY_ORDERS
from sources.reading import encode_cursor

ACCOUNTS = 200
ACCOUNT = codes(ACCOUNTS)[ACCOUNTS // 2]
PAGE = 1_000

_FLAT = "sequence effectiveDate journal description reference total"
_WITH_LINES = (
    "sequence effectiveDate description total lines { lineNumber debit credit currency account { code name } }"
)
_LINES = "nodes { lineNumber debit credit currency entry { sequence effectiveDate description } }"
_TRIAL_ROWS = "rows { account { code name } debit credit closing }"
_OF_ACCOUNT = f'filter: {{accountCodes: ["{ACCOUNT}"]}}'


@dataclass(frozen=True, slots=True)
class Operation:
    """`flat`: it is to cost the same at each size."""

    name: str
    query: str
    variables: Mapping[str, Any] = field(default_factory=lambda: {"ledger": LEDGER})
    flat: bool = True


def operations(entries: int, posted_at: str) -> list[Operation]:
    """What dashboards and BI tools ask of a ledger of so many entries, of which the newest were posted from `posted_at` on."""
    middle = encode_cursor(ENTRY_ORDERS["SEQUENCE_DESC"], [entries // 2])
    return [
        *(Operation(f"{each.name} {each.title}", each.query, each.variables) for each in questions(entries, ACCOUNTS)),
        Operation("the same account today", asking("account", f'code: "{ACCOUNT}"', "code functionalBalance")),
        Operation("the same trial balance today", asking("trialBalance", "", _TRIAL_ROWS)),
        Operation("Q1 in the middle", _page(f'first: 50, after: "{middle}", orderBy: SEQUENCE_DESC', _WITH_LINES)),
        Operation("an account's newest 50 lines", asking("journalLines", f"last: 50, {_OF_ACCOUNT}", _LINES)),
        Operation("an account's oldest 50 lines", asking("journalLines", f"first: 50, {_OF_ACCOUNT}", _LINES)),
        Operation("an account's newest 50 entries, by date", _filtered(f'accountCodes: ["{ACCOUNT}"]', by_date=True)),
        Operation("an account's newest 50 entries, as posted", _filtered(f'accountCodes: ["{ACCOUNT}"]')),
        Operation("a past month's newest 50 entries", _filtered(_dated("2024-06-01", "2024-06-30"))),
        Operation("a journal's newest 50 entries", _filtered('journals: ["SALES"]')),
        Operation("entries of a journal that nobody used", _filtered('journals: ["PAYROLL"]')),
        Operation("entries with a reference", _filtered('reference: "R-77"')),
        Operation("the entry with an idempotency key", _filtered('idempotencyKey: "seed-77"')),
        Operation("entries posted since a time", _filtered(f'postedFrom: "{posted_at}"')),
        Operation("how many entries there are", asking("entries", "first: 0", "totalCount")),
        Operation("a past year's newest 50 entries", _filtered(_dated("2024-01-01", "2024-12-31")), flat=False),
        Operation(
            "lines in a currency that nobody used",
            asking("journalLines", 'last: 50, filter: {currency: "CHF"}', _LINES),
            flat=False,
        ),
    ]


def asking(name: str, arguments: str, selected: str) -> str:
    """A document of one field of the ledger."""
    return f"query ($ledger: String!) {{ {name}(ledger: $ledger, {arguments}) {{ {selected} }} }}"


def _page(arguments: str, selected: str) -> str:
    return asking("entries", arguments, f"nodes {{ {selected} }} pageInfo {{ endCursor hasNextPage }}")


def _filtered(filter_: str, *, by_date: bool = False) -> str:
    order = "EFFECTIVE_DATE_DESC" if by_date else "SEQUENCE_DESC"
    return _page(f"first: 50, orderBy: {order}, filter: {{{filter_}}}", _FLAT)


def _dated(since: str, until: str) -> str:
    return f'effectiveFrom: "{since}", effectiveTo: "{until}"'


async def posted_at(contest: Contest, sequence: int) -> str:
    """When an entry was posted."""
    answer = await contest.planned(asking("entry", f"sequence: {sequence}", "postedAt"), {"ledger": LEDGER})
    found: str = orjson.loads(answer)["data"]["entry"]["postedAt"]
    return found


# ---------------------------------------------------------------- paging

PAGES = (
    f"query ($ledger: String!, $after: String, $order: EntryOrder) {{ entries(ledger: $ledger, first: {PAGE}, after: $after, "
    f"orderBy: $order) {{ nodes {{ {_FLAT} }} pageInfo {{ endCursor hasNextPage }} }} }}"
)


async def paged(
    contest: Contest, order: str, timed: Callable[[Callable[[], Awaitable[bytes]]], Awaitable[bytes]]
) -> int:
    """Reads a whole ledger by cursor, each page through `timed`; how many entries it holds."""
    cursor, count = None, 0
    while True:
        variables = {"ledger": LEDGER, "after": cursor, "order": order}
        page = orjson.loads(await timed(lambda: contest.planned(PAGES, variables)))["data"]["entries"]  # noqa: B023
        count += len(page["nodes"])
        if not page["pageInfo"]["hasNextPage"]:
            return count
        cursor = page["pageInfo"]["endCursor"]


# ---------------------------------------------------------------- posting

MANY = """mutation ($entries: [PostEntryInput!]!) { postEntries(input: {entries: $entries}) { results { ... on EntryPosted {
  replayed entry { sequence } } } } }"""
BATCH = 100
_COUNTED = 10


class Postings:
    """What is posted to one ledger: new entries all the time, of one day or of any day of the past two years."""

    def __init__(self, opened: Books, contest: Contest, ledger: LedgerRef) -> None:
        self._opened, self._contest, self._ledger = opened, contest, ledger
        self._chance, self._keys = random.Random(SEED), itertools.count()

    def drafts(self, size: int, backdated: bool) -> list[EntryDraft]:
        return [
            entry(self._ledger, f"growth-{next(self._keys)}", self._day(backdated), self._chance, codes(ACCOUNTS))
            for _ in range(size)
        ]

    def _day(self, backdated: bool) -> date:
        return FIRST_DAY + timedelta(days=self._chance.randrange(DAYS)) if backdated else POSTING_DAY

    async def post(self, size: int, backdated: bool) -> None:
        """One mutation, through the engine. Raises RuntimeError when it was not posted."""
        variables = {"entries": [as_input(draft) for draft in self.drafts(size, backdated)]}
        answer = await self._contest.planned(MANY, variables)
        if answer.count(b'"replayed":false') != size:
            raise RuntimeError(f"not posted: {answer[:2_000]!r}")

    async def touched(self, size: int, backdated: bool) -> touched.Touched:
        """What one batch touches, the mean of several."""
        whole = touched.Touched()
        async with self._opened.database.writer() as connection:
            for _ in range(_COUNTED):
                found, outcomes = await touched.posting(connection, self._ledger, self.drafts(size, backdated))
                _check(outcomes)
                whole.blocks += found.blocks
                whole.wal += found.wal
        return touched.Touched(whole.blocks // _COUNTED, 0, whole.wal // _COUNTED)


async def add_years(opened: Books, ledger: LedgerRef, years: int) -> None:
    """So many years of months before the seeded ones: in each a line on every account."""
    chart = codes(ACCOUNTS)
    for year in range(FIRST_DAY.year - years, FIRST_DAY.year):
        _check(await opened.poster.post([_monthly(ledger, date(year, month, 15), chart) for month in range(1, 13)]))


def _monthly(ledger: LedgerRef, day: date, chart: Sequence[str]) -> EntryDraft:
    lines = [
        LineDraft(account=account, **{"debit" if number % 2 else "credit": "10.00"})
        for number, account in enumerate(chart)
    ]
    return EntryDraft(
        ledger=ledger,
        idempotency_key=f"month-{day}",
        effective_date=day,
        description="A month of long ago",
        lines=tuple(lines),
        posted_by=LEDGER,
    )


def _check(outcomes: Sequence[object]) -> None:
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Posted)]
    if refused:
        raise RuntimeError(f"refused: {refused[0]}")
