"""Control accounts beside their subledgers, and bank accounts beside their statements, as of a day.

- A subledger is what the mirrored invoices of every source that posts into the ledger leave open on the day, by party (see
  `sources.matching.open_sql`), less what parties have on account; what their documents were prepaid by beyond that
  is a difference. Its control accounts are the codes that the active rules call `receivable` or `payable`.
- A bank account's ledger account is the one that the rules' table `bank_accounts` gives.

Amounts are minor units of their currency. Subledgers count what is owed: to us for receivables, by us for payables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sources.matching import open_sql
from sources.mirror.places import PER_DAY
from sources.pipeline.reconciliation_sql import stands

if TYPE_CHECKING:
    from sources.database.pool import Connection
    from sources.mapping.standing import Standing

MOST_SHOWN: Final = 1_000
"""Parties of a subledger, and lines of a bank account on each side; counts and sums are of all."""
_SIDES: Final = (("RECEIVABLE", "receivable", "customer", 1), ("PAYABLE", "payable", "vendor", -1))


@dataclass(frozen=True, slots=True)
class PartyTie:
    """One party and currency. `party`: its id in the source, None: invoices and lines that name none. `balance`: of lines with the
    dimension customer, or vendor, of that value."""

    party: str | None
    name: str | None
    currency: str
    open: int
    balance: int


@dataclass(frozen=True, slots=True)
class Subledger:
    """`parties`: those that differ, by how much, the greatest first; `differing` counts them. `totals`: by currency, of no
    party."""

    direction: str
    codes: tuple[str, ...]
    totals: tuple[PartyTie, ...]
    differing: int
    parties: tuple[PartyTie, ...]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Lines of one side that the other does not know: how many, their sum, and the first of them as rows of columns."""

    count: int
    amount: int
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class BankTie:
    """The newest statement up to the day, beside the ledger account `code` (None: the rules give none) at its end. `transactions`
    without an entry that stands, and `lines` without a transaction, are those since the report's first day. Who reverses the entry
    of a transaction by hand leaves a transaction without one, and no line."""

    account: str
    name: str | None
    currency: str
    statement: str
    ends_on: date
    closing: int
    code: str | None
    balance: int | None
    transactions: Unmatched
    lines: Unmatched


async def tie_subledgers(
    connection: Connection, ledger_id: int, standing: Standing | None, day: date
) -> list[Subledger]:
    """Those whose accounts the rules state. `standing`: of the active ones, None: there are none."""
    found = []
    for direction, name, dimension, sign in _SIDES:
        if standing is not None and (codes := standing.codes(name)):
            ties = await _parties(connection, ledger_id, (direction, dimension, sign), codes, day)
            found.append(_subledger(direction, codes, ties))
    return found


async def _parties(
    connection: Connection, ledger_id: int, side: tuple[str, str, int], codes: Sequence[str], day: date
) -> list[PartyTie]:
    direction, dimension, sign = side
    owed = {(row[0], row[1]): row for row in await connection.fetch(_OPEN, ledger_id, direction, day)}
    lines = await connection.fetch(_BALANCES, ledger_id, list(codes), dimension, day)
    balances = {(row[0], row[1]): sign * int(row[2]) for row in lines}
    found = []
    for party, currency in {**owed, **balances}:
        known = owed.get((party, currency))
        name, amount = (known["name"], int(known["amount"])) if known else (None, 0)
        found.append(PartyTie(party, name, currency, amount, balances.get((party, currency), 0)))
    return found


def _subledger(direction: str, codes: tuple[str, ...], ties: Sequence[PartyTie]) -> Subledger:
    totals = [
        PartyTie(None, None, currency, *(sum(values) for values in zip(*amounts, strict=True)))
        for currency in sorted({tie.currency for tie in ties})
        if (amounts := [(tie.open, tie.balance) for tie in ties if tie.currency == currency])
    ]
    differing = sorted(
        (tie for tie in ties if tie.open != tie.balance),
        key=lambda tie: (-abs(tie.open - tie.balance), tie.currency, tie.party or ""),
    )
    return Subledger(direction, codes, tuple(totals), len(differing), tuple(differing[:MOST_SHOWN]))


async def tie_banks(
    connection: Connection,
    ledger_id: int,
    source: str,
    standing: Standing | None,
    days: tuple[date, date],
    post_from: date | None,
) -> list[BankTie]:
    """The bank accounts of the source that have a statement with a closing balance up to the last day."""
    table = standing.table("bank_accounts") if standing is not None else {}
    first = max(days[0], post_from) if post_from else days[0]
    found = []
    for row in await connection.fetch(_STATEMENTS, ledger_id, source, days[1]):
        code = table.get(row["account"], table.get("default"))
        account_id = await connection.fetchval(ACCOUNT, ledger_id, code)
        place = (row["currency"], first, row["ends_on"])
        balance, lines = None, Unmatched(0, 0, ())
        if account_id is not None:
            sums = await connection.fetchval(BALANCE, ledger_id, account_id, row["currency"], row["ends_on"])
            balance = int(sums)
            lines = _unmatched(await connection.fetch(_LINES, ledger_id, account_id, *place))
        transactions = await connection.fetch(_TRANSACTIONS, ledger_id, source, row["account"], *place)
        found.append(BankTie(**row, code=code, balance=balance, transactions=_unmatched(transactions), lines=lines))
    return found


def _unmatched(rows: Sequence[Any]) -> Unmatched:
    return Unmatched(rows[0]["count"], int(rows[0]["sum"]), tuple(rows)) if rows else Unmatched(0, 0, ())


_OPEN = f"""
SELECT nullif(party_id, '') AS party_id, currency, max(party_name) AS name,
    sum(open) + sum(on_account) - {open_sql.UNFOUND} AS amount FROM (
    SELECT o.party_id, o.party_name, o.currency, o.open, o.on_account, o.set_off FROM ({open_sql.on_day("$1", "$2", "$3")}) AS o
    JOIN mirror.source_state state ON state.source = o.source AND state.post_from IS NOT NULL
    UNION ALL
    SELECT a.party_id, a.party_name, a.currency, 0, a.amount, 0 FROM ({open_sql.on_account("$1", "$2", "$3")}) AS a
) AS owed
GROUP BY 1, 2"""
_BALANCES = """
SELECT l.dimensions ->> $3, l.currency, sum(l.amount) FROM ledger.line l
WHERE l.ledger_id = $1 AND l.effective_date <= $4 AND l.account_id = ANY (
    ARRAY(SELECT account_id FROM ledger.account WHERE ledger_id = $1 AND code = ANY($2::text[])))
GROUP BY 1, 2"""
# Of each account and currency from the day backwards: ranks are in the order of days.
_STATEMENTS = f"""
SELECT a.external_id AS account, a.name, last.currency, last.external_id AS statement, last.ends_on, last.closing
FROM mirror.bank_account a CROSS JOIN unnest(a.currencies) AS kept (currency) CROSS JOIN LATERAL (
    SELECT s.currency, s.external_id, s.ends_on, s.closing FROM mirror.bank_statement s
    WHERE s.ledger_id = a.ledger_id AND s.source = a.source AND s.account = a.external_id AND s.currency = kept.currency
        AND s.rank > 0 AND s.rank < ($3::date - date '0001-01-01' + 2)::bigint * {PER_DAY}
        AND s.closing IS NOT NULL AND s.ends_on <= $3
    ORDER BY s.rank DESC LIMIT 1
) AS last
WHERE a.ledger_id = $1 AND a.source = $2 AND a.deleted_at IS NULL
ORDER BY 1, 3"""
ACCOUNT: Final = "SELECT account_id FROM ledger.account WHERE ledger_id = $1 AND code = $2"
BALANCE: Final = """
SELECT coalesce(sum(debit) - sum(credit), 0) FROM (
    SELECT debit, credit FROM ledger.balance_month
    WHERE ledger_id = $1 AND account_id = $2 AND currency = $3 AND month < date_trunc('month', $4::date)::date
    UNION ALL
    SELECT debit, credit FROM ledger.balance_day
    WHERE ledger_id = $1 AND account_id = $2 AND currency = $3 AND day BETWEEN date_trunc('month', $4::date)::date AND $4
) AS moved"""
_LINES = f"""
SELECT l.sequence, l.effective_date AS dated, l.amount, count(*) OVER () AS count, sum(l.amount) OVER () AS sum
FROM ledger.line l
WHERE l.ledger_id = $1 AND l.account_id = $2 AND l.currency = $3 AND l.effective_date BETWEEN $4 AND $5 AND l.amount <> 0
    AND NOT EXISTS (
        SELECT FROM mirror.document_entry link
        WHERE link.ledger_id = $1 AND link.kind = 'bank_transaction' AND link.sequence = ANY (ARRAY(
            WITH RECURSIVE chain (sequence) AS (
                SELECT l.sequence UNION ALL
                SELECT e.reverses FROM chain JOIN ledger.entry e
                    ON e.ledger_id = $1 AND e.sequence = chain.sequence AND e.reverses IS NOT NULL
            ) SELECT sequence FROM chain)))
ORDER BY l.effective_date, l.sequence, l.line_number LIMIT {MOST_SHOWN}"""
_TRANSACTIONS = f"""
SELECT t.external_id, t.dated_on AS dated, t.amount, count(*) OVER () AS count, sum(t.amount) OVER () AS sum
FROM mirror.bank_transaction t
WHERE t.ledger_id = $1 AND t.source = $2 AND t.account = $3 AND t.currency = $4 AND t.dated_on BETWEEN $5 AND $6
    AND t.visible AND t.status = 'BOOKED' AND (
        SELECT 1 FROM pipeline.posting p
        WHERE p.ledger_id = $1 AND p.source = $2 AND p.kind = 'bank_transaction' AND p.account = $3
            AND p.external_id = t.external_id AND p.status = 'POSTED' AND {stands("p.sequence")}
        LIMIT 1) IS NULL
ORDER BY t.dated_on, t.external_id LIMIT {MOST_SHOWN}"""
