"""Proves a ledger from its rows alone: every hash, sum, reversal and balance is computed again and compared.

entries and their lines, page by page -> findings about entries -> the head -> balances, account by account
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.errors import NotFound
from sources.ledger import canonical
from sources.ledger.canonical import CanonicalLine

if TYPE_CHECKING:
    from sources.database.pool import Connection

PAGE: Final = 500
PAGE_LINES: Final = 20_000
"""Entries and lines that are held in memory at once, or one entry of more lines."""

_ENTRIES: Final = """
SELECT sequence, effective_date::text AS effective_date, document_date::text AS document_date, description, journal,
    reference, posted_by, origin, idempotency_key, reverses, line_count, total, body_hash, hash, canonical_version,
    (extract(epoch FROM posted_at) * 1000000)::bigint AS posted_micros
FROM ledger.entry
WHERE ledger_id = $1 AND sequence > $2
ORDER BY sequence
LIMIT $3
"""
_LINES: Final = """
SELECT line.sequence, line.line_number, line.effective_date::text AS effective_date, account.code AS account,
    line.currency, line.amount, line.functional_amount, line.description, line.tax_code,
    line.dimensions::text AS dimensions
FROM ledger.line
LEFT JOIN ledger.account ON account.ledger_id = $1 AND account.account_id = line.account_id
WHERE line.ledger_id = $1 AND line.sequence = ANY ($2::bigint[])
ORDER BY line.sequence, line.line_number
"""
_BALANCES: Final = """
SELECT coalesce(computed.currency, stored.currency) AS currency, coalesce(computed.period, stored.period)::text AS period
FROM (
    SELECT currency, {period_of_line} AS period, sum(greatest(amount, 0)) AS debit, sum(greatest(-amount, 0)) AS credit,
        sum(greatest(functional_amount, 0)) AS functional_debit, sum(greatest(-functional_amount, 0)) AS functional_credit
    FROM ledger.line
    WHERE ledger_id = $1 AND account_id = $2
    GROUP BY 1, 2
) AS computed
FULL JOIN (
    SELECT currency, {period} AS period, debit, credit, functional_debit, functional_credit
    FROM ledger.balance_{period}
    WHERE ledger_id = $1 AND account_id = $2
) AS stored ON stored.currency = computed.currency AND stored.period = computed.period
WHERE (computed.debit, computed.credit, computed.functional_debit, computed.functional_credit)
    IS DISTINCT FROM (stored.debit, stored.credit, stored.functional_debit, stored.functional_credit)
ORDER BY 1, 2
"""
_BALANCES_BY_PERIOD: Final = {
    "day": _BALANCES.format(period="day", period_of_line="effective_date"),
    "month": _BALANCES.format(period="month", period_of_line="date_trunc('month', effective_date)::date"),
    "year": _BALANCES.format(period="year", period_of_line="date_trunc('year', effective_date)::date"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not add up. `sequence` is the wrong entry's, None where it is not about one entry."""

    sequence: int | None
    message: str


Row = Mapping[str, Any]


async def verify(
    connection: Connection, ledger_code: str, *, progress: Callable[[int, int], None] | None = None
) -> AsyncIterator[Finding]:
    """Everything that is wrong with a ledger, in one snapshot. `progress(entries done, entries in all)` is called for each
    page. The connection is one of `Database.snapshot`, or of the owner outside a transaction. Raises NotFound."""
    if not connection.is_in_transaction():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
            async for finding in verify(connection, ledger_code, progress=progress):
                yield finding
        return
    ledger = await connection.fetchrow(
        "SELECT ledger.ledger_id, ledger.functional_currency, head.last_sequence, head.last_hash "
        "FROM ledger.ledger JOIN ledger.head ON head.ledger_id = ledger.ledger_id WHERE ledger.code = $1",
        ledger_code,
    )
    if ledger is None:
        raise NotFound(f"there is no ledger {ledger_code!r}")
    async for finding in _entries(connection, ledger, ledger_code, progress):
        yield finding
    async for finding in _balances(connection, ledger["ledger_id"]):
        yield finding


async def _entries(
    connection: Connection, ledger: Row, ledger_code: str, progress: Callable[[int, int], None] | None
) -> AsyncIterator[Finding]:
    previous: dict[str, Any] = {
        "sequence": 0,
        "hash": canonical.genesis_hash(ledger_code),
        "posted_micros": -(2**63),
    }
    before: Row = previous
    while page := await connection.fetch(_ENTRIES, ledger["ledger_id"], before["sequence"], PAGE):
        entries = list(_bounded(page))
        lines = await _lines(connection, ledger["ledger_id"], [entry["sequence"] for entry in entries])
        originals = await _lines(
            connection, ledger["ledger_id"], [entry["reverses"] for entry in entries if entry["reverses"]]
        )
        for entry in entries:
            mine = lines[entry["sequence"]]
            for message in _faults(entry, before, mine, originals, ledger["functional_currency"]):
                yield Finding(entry["sequence"], message)
            before = entry
        if progress is not None:
            progress(before["sequence"], ledger["last_sequence"])
    if (before["sequence"], before["hash"]) != (ledger["last_sequence"], ledger["last_hash"]):
        message = f"the ledger's head is at sequence {ledger['last_sequence']}, its last entry is {before['sequence']}"
        yield Finding(None, f"{message}, or their hashes differ")


def _bounded(page: Sequence[Row]) -> Iterator[Row]:
    lines = 0
    for index, entry in enumerate(page):
        lines += entry["line_count"]
        if index and lines > PAGE_LINES:
            return
        yield entry


async def _lines(connection: Connection, ledger_id: int, sequences: Sequence[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in await connection.fetch(_LINES, ledger_id, sequences) if sequences else []:
        found[row["sequence"]].append(row)
    return found


async def _balances(connection: Connection, ledger_id: int) -> AsyncIterator[Finding]:
    accounts = await connection.fetch(
        "SELECT account_id, code FROM ledger.account WHERE ledger_id = $1 ORDER BY code", ledger_id
    )
    for account in accounts:
        for period, statement in _BALANCES_BY_PERIOD.items():
            for row in await connection.fetch(statement, ledger_id, account["account_id"]):
                message = (
                    f"the stored {period} balance of account {account['code']} in {row['currency']} of {row['period']}"
                )
                yield Finding(None, f"{message} is not the sum of its lines")


# ---------------------------------------------------------------- one entry


def _faults(
    entry: Row, before: Row, lines: Sequence[Row], originals: Mapping[int, Sequence[Row]], functional: str
) -> Iterator[str]:
    yield from _order_faults(entry, before)
    yield from _line_faults(entry, lines, functional)
    yield from _hash_faults(entry, before, lines)
    if entry["reverses"] is not None and not _mirrors(lines, originals.get(entry["reverses"], [])):
        yield f"its lines are not the mirror of entry {entry['reverses']}"


def _order_faults(entry: Row, before: Row) -> Iterator[str]:
    if entry["sequence"] != before["sequence"] + 1:
        yield f"entries {before['sequence'] + 1} to {entry['sequence'] - 1} are missing before it"
    if entry["posted_micros"] < before["posted_micros"]:
        yield "it was posted before its predecessor"


def _line_faults(entry: Row, lines: Sequence[Row], functional: str) -> Iterator[str]:
    if [line["line_number"] for line in lines] != list(range(1, entry["line_count"] + 1)):
        yield f"it states {entry['line_count']} lines and has {len(lines)}, or their numbers have gaps"
    if sum(line["functional_amount"] for line in lines):
        yield "its functional amounts do not sum to zero"
    if len({line["currency"] for line in lines}) == 1 and sum(line["amount"] for line in lines):
        yield "its amounts do not sum to zero"
    if sum(max(line["functional_amount"], 0) for line in lines) != entry["total"]:
        yield "its total is not the sum of its functional debits"
    for line in lines:
        if line["effective_date"] != entry["effective_date"]:
            yield f"its line {line['line_number']} has another effective date"
        if line["account"] is None:
            yield f"its line {line['line_number']} names an account that does not exist"
        if line["currency"] == functional and line["amount"] != line["functional_amount"]:
            yield f"its line {line['line_number']} is in {functional}, but its functional amount differs"


def _hash_faults(entry: Row, before: Row, lines: Sequence[Row]) -> Iterator[str]:
    if entry["canonical_version"] != canonical.VERSION:
        yield f"its canonical form {entry['canonical_version']} is unknown to this version"
        return
    if canonical.body_hash(_body(entry, lines)) != entry["body_hash"]:
        yield "its body is not the one that was posted: the hash of its rows differs"
    link = canonical.entry_hash(
        before["hash"],
        entry["body_hash"],
        sequence=entry["sequence"],
        posted_micros=entry["posted_micros"],
        posted_by=entry["posted_by"],
        origin=entry["origin"],
        key=entry["idempotency_key"],
    )
    if link != entry["hash"]:
        yield "its hash does not continue the chain"


def _body(entry: Row, lines: Sequence[Row]) -> bytes:
    if entry["reverses"] is not None:
        return canonical.reversal_body(
            reverses=entry["reverses"], effective_date=entry["effective_date"], description=entry["description"]
        )
    return canonical.entry_body(
        effective_date=entry["effective_date"],
        document_date=entry["document_date"],
        journal=entry["journal"],
        description=entry["description"],
        reference=entry["reference"],
        lines=[
            CanonicalLine(
                account=line["account"],
                currency=line["currency"],
                amount=line["amount"],
                functional_amount=line["functional_amount"],
                description=line["description"],
                tax_code=line["tax_code"],
                dimensions=orjson.loads(line["dimensions"]),
            )
            for line in lines
        ],
    )


def _mirrors(lines: Sequence[Row], original: Sequence[Row]) -> bool:
    same = ("line_number", "account", "currency", "description", "tax_code", "dimensions")
    return len(lines) == len(original) and all(
        all(mine[name] == theirs[name] for name in same)
        and mine["amount"] == -theirs["amount"]
        and mine["functional_amount"] == -theirs["functional_amount"]
        for mine, theirs in zip(lines, original, strict=True)
    )
