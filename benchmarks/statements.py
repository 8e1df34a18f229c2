"""Statements of one bank account: what reading a page and stating one more cost, in an account of two sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks import matching_company
from benchmarks.beside import (
    FLAT,
    Asked,
    Found,
    Plain,
    as_times,
    found_claims,
    found_table,
    grown_times,
    measured,
    opened,
)
from benchmarks.books import copied, kept
from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import claim, figures
from benchmarks.matching_company import BANK, LEDGER, Company, company
from benchmarks.measuring import Samples
from benchmarks.tables import table
from sources.database.embedded import EmbeddedPostgres
from sources.documents import BankAccount, BankStatement, BankTransaction, BankTransactionStatus

STATEMENTS = (300, 3_000)
_QUICK_STATEMENTS = (20, 40)
PER_DAY = 4
TRANSACTIONS = 10
"""Of each statement."""
_FIRST = date(2018, 1, 1)
_STATED = 20
"""How often one more statement is stated a round; each is another one."""
_SOURCE = "bank"
_BARE = """
INSERT INTO mirror.bare_transaction
SELECT (jsonb_populate_record(NULL::mirror.bare_transaction, t || jsonb_build_object('statement', $1::text))).*
FROM (SELECT to_jsonb(b) AS t FROM mirror.bare_sample b) sample"""

_BODY = """\
One account with {small} statements of {transactions} transactions, {per_day} a day, and with ten times as many. Fields are measured as in the
chapter before: milliseconds (median of the rounds), and in brackets the blocks that PostgreSQL touched.

{read}
A pull that states one statement, through the mirror, from the lock of its source to its end, committed: behind all others, among those of a
day long past, and in place of one that is held, other in its texts. Beside: the rows of {transactions} transactions inserted and committed by one
statement, into a table with the same indexes and no rules.

{stated}"""


@dataclass(frozen=True, slots=True)
class Stating:
    """A way in which one more statement comes, and milliseconds by size."""

    name: str
    times: Mapping[int, Samples]


def statement(number: int, of: int, *, name: str | None = None, text: str = "") -> BankStatement:
    """The one of so many that has this number, from 0 on; balances lead from one to the other, and every statement moves nothing."""
    name = name or f"s{number:06}"
    day = _FIRST + timedelta(days=number // PER_DAY)
    moved = tuple(
        BankTransaction(
            external_id=f"{name}-{at}", status=BankTransactionStatus.BOOKED, amount=(1 if at % 2 else -1) * (100 + at // 2), currency="EUR",
            booked_on=day, value_date=day, description=f"Transfer {number % of} of {name} {text}", counterparty=f"Party {at}", reference=f"R{number}",
        )
        for at in range(TRANSACTIONS)
    )  # fmt: skip
    account = BankAccount(external_id=BANK, currency="EUR", iban=BANK)
    return BankStatement(
        external_id=name, account=account, provisional=False, transactions=moved, from_date=day, to_date=day, opening=5_000, closing=5_000
    )  # fmt: skip


async def measure(bench: Bench) -> Chapter:
    """Accounts are grown once; what is stated goes to copies."""
    sizes = _QUICK_STATEMENTS if bench.quick else STATEMENTS
    places = {size: await grown(bench, size) for size in sizes}
    async with AsyncExitStack() as stack:
        accounts = [await stack.enter_async_context(opened(size, place)) for size, place in places.items()]
        read = [await measured(bench, "statements", accounts, each) for each in _asked(sizes[0])]
    stated = await _stated(bench, places)
    body = _BODY.format(
        small=f"{sizes[0]:,}", transactions=TRANSACTIONS, per_day=PER_DAY, read=found_table(read, sizes), stated=_table(stated, sizes)
    )  # fmt: skip
    return Chapter("Statements of one account", body, figures(claims=_claims(read, stated)))


async def grown(bench: Bench, size: int) -> Path:
    """The data directory of an account of so many statements, kept in the cache."""
    bench.tell(f"statements: growing an account of {size:,} statements")

    async def grow(_server: EmbeddedPostgres, building: Path) -> None:
        async with company(building) as found:
            await found.state(_SOURCE, [statement(number, size) for number in range(size)])

    return await kept(bench, f"account-{size}", [Path(__file__), Path(matching_company.__file__)], grow)


# ---------------------------------------------------------------- reading


def _asked(smallest: int) -> list[Asked]:
    """Days that accounts of both sizes have."""
    past = _FIRST + timedelta(days=smallest // PER_DAY // 2)
    account, nodes = f'bankAccounts(ledgers: ["{LEDGER}"])', "nodes { bookedOn amount description counterparty }"

    def page(arguments: str) -> str:
        return f"{account} {{ nodes {{ transactions({arguments}) {{ {nodes} }} }} }}"

    def plain(where: str, *arguments: str) -> Plain:
        sql = f"""
SELECT booked_on, amount, description, counterparty FROM mirror.bank_transaction WHERE source = '{_SOURCE}' AND account = '{BANK}'
    AND visible AND {where} ORDER BY listed_booked, listed_value, external_id LIMIT 50"""
        return Plain(sql, arguments, _texts, lambda rows: [row[2] for row in rows])

    return [
        Asked("the first 50 transactions", page("first: 50"), plain("true"), flat=True),
        Asked(
            "50 transactions of a day and those after it",
            page(f'from: "{past}", first: 50'),
            plain("dated_on >= $1::text::date", past.isoformat()),
            flat=True,
        ),
        Asked(
            "the transactions of one day, with their number",
            page(f'from: "{past}", to: "{past}"').replace("{ nodes { bookedOn", "{ totalCount nodes { bookedOn"),
            plain("dated_on = $1::text::date", past.isoformat()),
            flat=True,
        ),
        Asked("cashPositions of today", f'cashPositions(ledgers: ["{LEDGER}"]) {{ nodes {{ booked statementDate warnings }} }}', flat=True),
        Asked(
            "cashPositions of a past day",
            f'cashPositions(ledgers: ["{LEDGER}"], asOf: "{past}") {{ nodes {{ booked statementDate warnings }} }}',
            flat=True,
        ),
    ]  # fmt: skip


def _texts(value: Any) -> list[Any]:
    return [each["description"] for each in value["nodes"][0]["transactions"]["nodes"]]


# ---------------------------------------------------------------- stating


def _more(kind: str, size: int, turn: int) -> Iterator[BankStatement]:
    """Statements that come to an account of so many, no two alike in all turns."""
    for number in range(turn * _STATED, (turn + 1) * _STATED):
        if kind == "behind all others":
            yield statement(size + number, size)
        elif kind == "in place of one that is held":
            yield statement(size // 4 + number % (size // 4), size, text=f"restated {number}")
        else:
            yield statement(size // 2 + number % (size // 4), size, name=f"late{number:06}")


_KINDS = ("behind all others", "among those of a day long past", "in place of one that is held")


async def _stated(bench: Bench, places: Mapping[int, Path]) -> list[Stating]:
    found = {name: {size: Samples() for size in places} for name in (*_KINDS, "")}
    async with AsyncExitStack() as stack:
        companies = {}
        for size, place in places.items():
            copy = await copied(place, bench.directory / f"account-{size}")
            companies[size] = await stack.enter_async_context(company(copy, made=True))
            await _prepare_bare(companies[size])
        for round_ in range(bench.rounds):
            bench.tell(f"statements: stating one more, round {round_ + 1}")
            for size, each in companies.items():
                for kind in _KINDS:
                    found[kind][size].values.append(await _state(each, list(_more(kind, size, round_))))
                found[""][size].values.append(await _bare(each))
    return [Stating(name or "ten rows, inserted", times) for name, times in found.items()]


async def _state(account: Company, statements: Sequence[BankStatement]) -> float:
    """Milliseconds for each."""
    begun = time.perf_counter()
    for each in statements:
        await account.state(_SOURCE, [each])
    return 1_000 * (time.perf_counter() - begun) / len(statements)


async def _prepare_bare(account: Company) -> None:
    await account.owner.execute(
        "CREATE TABLE mirror.bare_sample AS SELECT * FROM mirror.bank_transaction LIMIT 10;"
        "CREATE TABLE mirror.bare_transaction (LIKE mirror.bank_transaction INCLUDING INDEXES INCLUDING DEFAULTS);"
        "INSERT INTO mirror.bare_transaction SELECT * FROM mirror.bank_transaction"
    )


async def _bare(account: Company) -> float:
    insert = await account.owner.prepare(_BARE)
    begun = time.perf_counter()
    for number in range(_STATED):
        await insert.fetch(f"bare-{begun}-{number}")
    return 1_000 * (time.perf_counter() - begun) / _STATED


# ---------------------------------------------------------------- the page


def _table(stated: Sequence[Stating], sizes: Sequence[int]) -> str:
    bare = stated[-1]
    rows = []
    for each in stated:
        over = "" if each is bare else as_times(each.times[max(sizes)].over(bare.times[max(sizes)]))
        cells = [f"{each.times[size].median:.2f}" for size in sizes]
        rows.append((each.name, *cells, as_times(grown_times(each.times)), over))
    return table(("", *(f"{size:,}, ms" for size in sizes), "growth", "of the insert's time"), rows)


def _claims(read: Sequence[Found], stated: Sequence[Stating]) -> list[Any]:
    told = [
        claim("statements", f"a pull that states one, {it.name}: in ten times the account", "", grown_times(it.times), reach=FLAT, at_most=True)
        for it in stated[:-1]
    ]  # fmt: skip
    return [*found_claims("statements", read), *told]
