"""A bank reconciliation: what a bank says that an account holds on a day, beside its ledger account, and every item between the two.

    balance at the bank
      - brought forward       what its balance has besides the transactions that are known: from before the first one, or between
                              statements that do not follow on each other; and items from before the first day asked for
      - not in the books      booked transactions, as far as lines of the account up to the day do not have them
      + in transit            debits of the account that come from no bank transaction
      - outstanding           credits of the account that come from no bank transaction
    = balance of the ledger account

A line comes from a transaction where its entry was posted of it, or reverses such an entry, by whomever. Bank accounts that the rules'
table `bank_accounts` puts on one ledger account are reconciled together. An account that several sources tell of counts once, its
balance by one of them, and each day's transactions by who posted the day: see `sources.mirror.told_twice`. Amounts are minor units of one currency, money in positive.
Every booked transaction and every line up to the day is looked at: 200,000 of each take about a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sources.mirror import told_twice
from sources.mirror.cash import cash_positions
from sources.mirror.queries import Within
from sources.mirror.told_twice import Place
from sources.pipeline.control_accounts import ACCOUNT, BALANCE
from sources.reading import Want

if TYPE_CHECKING:
    from sources.database.pool import Connection
    from sources.mapping.standing import Standing

MOST_SHOWN: Final = 1_000
"""Transactions and lines of each account; counts and sums are of all."""


@dataclass(frozen=True, slots=True)
class Held:
    """A bank account, and what it holds as the bank says: None, where no statement up to the day gave a balance."""

    source: str
    account: str
    balance: int | None


@dataclass(frozen=True, slots=True)
class BankReconciliation:
    """`code`: of the ledger account, None: the rules give none. `bank`: None, where a bank account's balance is not known; `books`: None,
    where there is no such account. `transactions`: columns source, account, external_id, dated,
    bank, books; `missing`: their sum of bank - books. `lines`: columns sequence, dated, amount; `in_transit` is their debits,
    `outstanding` their credits, positive."""

    code: str | None
    currency: str
    held: tuple[Held, ...]
    bank: int | None
    books: int | None
    missing: int
    transaction_count: int
    transactions: tuple[Any, ...]
    in_transit: int
    outstanding: int
    line_count: int
    lines: tuple[Any, ...]

    @property
    def brought_forward(self) -> int | None:
        """What the items leave of the difference."""
        return None if self.difference is None else self.difference - self.missing + self.in_transit - self.outstanding

    @property
    def difference(self) -> int | None:
        return None if self.bank is None or self.books is None else self.bank - self.books


async def reconcile(
    connection: Connection, ledger_id: int, standing: Standing | None, day: date, since: date = date.min
) -> list[BankReconciliation]:
    """The ledger's bank accounts by ledger account and currency, in the order of their codes. `connection`: a snapshot that sees the
    ledger. `standing`: of the active rules. `since`: the first day of items."""
    table = standing.table("bank_accounts") if standing is not None else {}
    positions = await _positions(connection, ledger_id, day)
    accounts = await told_twice.ranked(connection, positions, day)
    tellers = {account[0]: account for account in accounts} | {
        place: [] for account in accounts for place in account[1:]
    }
    groups: dict[tuple[str | None, str], list[tuple[Held, list[Place]]]] = {}
    for row in positions:
        place = Place(ledger_id, row["source"], row["account"], row["currency"])
        if told_by := tellers.get(place, [place]):
            code = table.get(place.account, table.get("default"))
            held = Held(place.source, place.account, row["booked"])
            groups.setdefault((code, place.currency), []).append((held, told_by))
    others = await told_twice.days_of_others(connection, accounts, day)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0] is None, group[0][0] or "", group[0][1]))
    return [await _reconciled(connection, ledger_id, *place, held, others, (since, day)) for place, held in ordered]


async def _positions(connection: Connection, ledger_id: int, day: date) -> list[dict[str, Any]]:
    sources = [row[0] for row in await connection.fetch(_SOURCES, ledger_id)]
    wanted = Want(("ledger_id", "source", "account", "currency", "identity", "closing", "booked"))
    reader: Any = connection
    rows = await cash_positions(reader, Within([ledger_id], sources), day, wanted)
    return [dict(zip(wanted.columns, row, strict=True)) for row in rows]


async def _reconciled(
    connection: Connection,
    ledger_id: int,
    code: str | None,
    currency: str,
    told: Sequence[tuple[Held, Sequence[Place]]],
    others: Sequence[tuple[str, str, str, date]],
    days: tuple[date, date],
) -> BankReconciliation:
    """`told`: each account, by whom it counts, and all who tell of it. `others`: see `told_twice.days_of_others`."""
    account_id = await connection.fetchval(ACCOUNT, ledger_id, code)
    held = [each for each, _ in told]
    places = [place for _, tellers in told for place in tellers]
    left_out = [(source, account, on) for source, account, of, on in others if of == currency]
    columns = [[place.source for place in places], [place.account for place in places]]
    columns += [list(column) for column in zip(*left_out, strict=True)] or [[], [], []]
    transactions = await connection.fetch(_TRANSACTIONS, ledger_id, account_id, currency, *days, *columns)
    lines = await connection.fetch(_LINES, ledger_id, account_id, currency, *days)
    books = None
    if account_id is not None:
        books = int(await connection.fetchval(BALANCE, ledger_id, account_id, currency, days[1]))
    return BankReconciliation(
        code=code,
        currency=currency,
        held=tuple(held),
        bank=None if any(each.balance is None for each in held) else sum(each.balance or 0 for each in held),
        books=books,
        missing=int(transactions[0]["missing"]) if transactions else 0,
        transaction_count=transactions[0]["count"] if transactions else 0,
        transactions=tuple(transactions),
        in_transit=int(lines[0]["in_transit"]) if lines else 0,
        outstanding=int(lines[0]["outstanding"]) if lines else 0,
        line_count=lines[0]["count"] if lines else 0,
        lines=tuple(lines),
    )


_SOURCES: Final = "SELECT DISTINCT source FROM mirror.bank_account WHERE ledger_id = $1"
_BOOKED: Final = """
SELECT t.source, t.account, t.external_id, min(t.dated_on) AS dated, sum(t.amount) AS amount FROM mirror.bank_transaction t
JOIN unnest($6::text[], $7::text[]) AS held (source, account) ON held.source = t.source AND held.account = t.account
WHERE t.ledger_id = $1 AND t.currency = $3 AND t.visible AND t.status = 'BOOKED' AND t.dated_on <= $5
    AND (t.source, t.account, t.dated_on) NOT IN (SELECT * FROM unnest($8::text[], $9::text[], $10::date[]))
GROUP BY t.source, t.account, t.external_id"""
# The entry that a line's entry reverses, or that one, and so on, is what the line comes from.
_ORIGINS: Final = """
WITH RECURSIVE line AS MATERIALIZED (
    SELECT l.sequence, l.line_number, l.effective_date AS dated, l.amount FROM ledger.line l
    WHERE l.ledger_id = $1 AND l.account_id = $2 AND l.currency = $3 AND l.effective_date <= $5 AND l.amount <> 0
), link AS MATERIALIZED (
    SELECT DISTINCT ON (d.sequence) d.sequence, d.source, d.account, d.external_id FROM mirror.document_entry d
    WHERE d.ledger_id = $1 AND d.kind = 'bank_transaction' ORDER BY d.sequence
), chain (sequence, origin) AS (
    SELECT DISTINCT line.sequence, line.sequence FROM line LEFT JOIN link USING (sequence) WHERE link.sequence IS NULL
    UNION ALL
    SELECT chain.sequence, e.reverses FROM chain
    JOIN ledger.entry e ON e.ledger_id = $1 AND e.sequence = chain.origin AND e.reverses IS NOT NULL
), origin AS (
    SELECT sequence, sequence AS origin FROM link
    UNION ALL
    SELECT chain.sequence, max(link.sequence) FROM chain JOIN link ON link.sequence = chain.origin GROUP BY chain.sequence
)"""
_TRANSACTIONS: Final = f"""{_ORIGINS}, booked AS ({_BOOKED}
), posted AS (
    SELECT link.source, link.account, link.external_id, min(line.dated) AS dated, sum(line.amount) AS amount
    FROM line JOIN origin USING (sequence) JOIN link ON link.sequence = origin.origin
    GROUP BY link.source, link.account, link.external_id
)
SELECT source, account, external_id, coalesce(booked.dated, posted.dated) AS dated, coalesce(booked.amount, 0)::bigint AS bank,
    coalesce(posted.amount, 0)::bigint AS books, count(*) OVER () AS count,
    sum(coalesce(booked.amount, 0) - coalesce(posted.amount, 0)) OVER () AS missing
FROM booked FULL JOIN posted USING (source, account, external_id)
WHERE coalesce(booked.amount, 0) <> coalesce(posted.amount, 0) AND coalesce(booked.dated, posted.dated) >= $4
ORDER BY dated, source, account, external_id LIMIT {MOST_SHOWN}"""
_LINES: Final = f"""{_ORIGINS}
SELECT line.sequence, line.dated, line.amount, count(*) OVER () AS count,
    coalesce(sum(line.amount) FILTER (WHERE line.amount > 0) OVER (), 0) AS in_transit,
    coalesce(-sum(line.amount) FILTER (WHERE line.amount < 0) OVER (), 0) AS outstanding
FROM line WHERE line.dated >= $4 AND NOT EXISTS (SELECT FROM origin WHERE origin.sequence = line.sequence)
ORDER BY line.dated, line.sequence, line.line_number LIMIT {MOST_SHOWN}"""
