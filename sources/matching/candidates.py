"""What bank transactions may be about, found by indexes: a bounded number of documents for each, whatever the books hold.

Round trips for a batch of lines: lines, rules (2), named, their items, alike and the like (3), payroll runs (3),
payments made together, items, matches (2),
claims, rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import orjson

from sources.matching import clues, exchange, items, kept, payment_runs, payslips, record, taught
from sources.matching.deciding import Around
from sources.matching.model import LIVE, Allocation, Candidates, Item, ItemKey, Line, Rules
from sources.matching.todo import ASKED, IS_ASKED, columns_of
from sources.money import EXPONENTS

if TYPE_CHECKING:
    from sources.database.pool import Connection


@dataclass(slots=True)
class Batch:
    """What `deciding.decide` takes."""

    lines: list[Line]
    candidates: dict[ItemKey, Candidates]
    items: dict[ItemKey, Item]
    matched: dict[ItemKey, Sequence[Allocation]] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    around: Around = field(default_factory=Around)


async def gather(connection: Connection, ledger_id: int, keys: Iterable[ItemKey]) -> Batch:
    """The open ones of these transactions, with what they may be about."""
    lines = await _lines(connection, ledger_id, sorted(set(keys)))
    batch = Batch(lines, {line.key: Candidates() for line in lines}, {})
    if not lines:
        return batch
    batch.rules = await taught.read(connection, ledger_id, lines)
    columns = columns_of([line.key for line in lines])
    await _fill(connection, _NAMED, batch, "named", ledger_id, *columns)
    named = {key for mine in batch.candidates.values() for key in mine.named}
    batch.items = await items.held(connection, ledger_id, {*named, *(line.key for line in lines)})
    amounts = [[line.currency for line in lines], [line.open for line in lines], [line.dated for line in lines]]
    await _fill(connection, _ALIKE, batch, "alike", ledger_id, *columns, *amounts)
    await _fill(
        connection, _EARLIER, batch, "earlier", ledger_id, *columns, [line.amount for line in lines], amounts[2]
    )
    await _fill_returned(connection, ledger_id, batch)
    await _fill_parties(connection, ledger_id, batch)
    batch.around.runs = await payslips.read(connection, ledger_id, lines)
    wanted = {key for mine in batch.candidates.values() for key in (*mine.alike, *mine.of_party, *mine.earlier)}
    batch.around.together = await payment_runs.read(connection, ledger_id, lines)
    wanted |= {run.key for run in batch.around.runs} | {key for run in batch.around.together for key in run}
    batch.items |= await items.held(connection, ledger_id, wanted - batch.items.keys())
    earlier = [key for mine in batch.candidates.values() for key in mine.earlier]
    live = await kept.matches_of(connection, ledger_id, earlier, LIVE)
    batch.matched = {line: next(iter(numbers.values())) for line, numbers in live.items()}
    taken = {each.key for parts in batch.matched.values() for each in parts if each.is_of_document}
    batch.items |= await items.held(connection, ledger_id, taken - batch.items.keys())
    batch.around.claims = await kept.claims(connection, ledger_id, named, {line.key for line in lines})
    batch.around.rates = await exchange.read(connection, _foreign(batch))
    return batch


def _foreign(batch: Batch) -> set[tuple[str, date]]:
    """Currencies of documents that a line may be about in another one, and the days."""
    found = set()
    for line in batch.lines:
        mine = batch.candidates[line.key]
        about = [batch.items[key] for key in (*mine.named, *mine.of_party) if key in batch.items]
        found |= {(item.currency, line.dated) for item in about if item.currency != line.currency and item.open}
    return found | {(line.currency, line.dated) for line in batch.lines if any(on == line.dated for _, on in found)}


async def _lines(connection: Connection, ledger_id: int, keys: Sequence[ItemKey]) -> list[Line]:
    rows = await connection.fetch(_LINES, ledger_id, *columns_of(keys)) if keys else []
    return [_line(row) for row in rows]


async def whole_lines(connection: Connection, ledger_id: int, keys: Sequence[ItemKey]) -> list[Line]:
    """These transactions, whether something of them is open or not."""
    return [_line(row) for row in await connection.fetch(_WHOLE_LINES, ledger_id, *columns_of(keys))]


async def line_of(connection: Connection, ledger_id: int, key: ItemKey) -> Line | None:
    """None: it is gone, or nothing of it is open."""
    found = await _lines(connection, ledger_id, [key])
    return found[0] if found else None


def _line(row: Any) -> Line:
    raw = record.raw_text(orjson.loads(row["raw"]))
    text = clues.plain(" ".join(each for each in (row["description"], row["reference"], row["counterparty"]) if each))
    return Line(
        ItemKey("bank_transaction", row["source"], row["account"], row["external_id"]),
        row["currency"],
        row["amount"],
        row["open"],
        row["dated"],
        text,
        row["party"],
        row["payer"],
        frozenset(row["keys"]),
        row["name_is_known"],
        record.is_return(text, raw),
        record.charges(raw, row["currency"], EXPONENTS),
        record.instructed(raw, EXPONENTS),
    )


async def _fill(connection: Connection, sql: str, batch: Batch, name: str, ledger_id: int, *args: Any) -> None:
    for row in await connection.fetch(sql, ledger_id, *args):
        line = batch.lines[row["n"] - 1]
        getattr(batch.candidates[line.key], name).append(
            ItemKey(row["kind"], row["source"], row["account"], row["external_id"])
        )


async def _fill_returned(connection: Connection, ledger_id: int, batch: Batch) -> None:
    """What may have come back, less or more than it was: by a reference in common; none by one that so many have
    that it says nothing, and of which not all would be looked at."""
    pairs = [
        (number, key)
        for number, line in enumerate(batch.lines, 1)
        if line.is_return
        for key in sorted(line.keys)
        if clues.is_strong(key)
    ]
    if pairs:
        numbers, keys = zip(*pairs, strict=True)
        asked = [batch.lines[number - 1] for number in numbers]
        columns = [[line.key.source for line in asked], [line.key.account for line in asked]]
        moved = [[line.amount for line in asked], [line.dated for line in asked]]
        await _fill(connection, _SHARING, batch, "earlier", ledger_id, list(numbers), list(keys), *columns, *moved)


async def _fill_parties(connection: Connection, ledger_id: int, batch: Batch) -> None:
    """The parties that a line seems to be from: by its name, by rule, by what it names."""
    pairs: list[tuple[int, str]] = []
    for number, line in enumerate(batch.lines, 1):
        taught = batch.rules.party_of(line)
        named = {batch.items[key].party for key in batch.candidates[line.key].named if key in batch.items}
        parties = {line.party, taught[1] if taught else "", *sorted(named)[:5]} - {""}
        pairs += [(number, party) for party in sorted(parties)]
    if pairs:
        numbers, parties_ = zip(*pairs, strict=True)
        await _fill(connection, _OF_PARTY, batch, "of_party", ledger_id, list(numbers), list(parties_))


async def waiting_for(connection: Connection, ledger_id: int, found: Sequence[Item]) -> list[ItemKey]:
    """Unmatched transactions that may be about these documents: by a key, the amount or the party in common."""
    columns = columns_of([item.key for item in found])
    amounts = [[item.currency for item in found], [item.expected for item in found], [item.dated for item in found]]
    rows = await connection.fetch(_WAITING, ledger_id, *columns, *amounts, [item.party for item in found])
    return [ItemKey("bank_transaction", *row) for row in rows]


_EVERY_LINE = f"""
SELECT held.source, held.account, held.external_id, held.currency, held.amount, held.amount - held.used AS open, held.dated, held.party,
    held.payer, t.description, t.reference, t.counterparty, t.raw, ARRAY(
        SELECT k.key FROM matching.item_key k WHERE k.ledger_id = $1 AND k.kind = held.kind AND k.source = held.source
            AND k.account = held.account AND k.external_id = held.external_id
    ) AS keys, held.party <> '' AND (
        SELECT 1 FROM matching.item i WHERE i.ledger_id = $1 AND i.kind = 'invoice' AND i.party = held.party AND i.party <> '' LIMIT 1
    ) IS NOT NULL AS name_is_known
FROM {ASKED} CROSS JOIN LATERAL (SELECT * FROM matching.item held WHERE {IS_ASKED} LIMIT 1) AS held
CROSS JOIN LATERAL (
    SELECT description, reference, counterparty, raw FROM mirror.bank_transaction t
    WHERE t.ledger_id = $1 AND t.source = asked.source AND t.account = asked.account AND t.external_id = asked.external_id
        AND NOT t.provisional
    ORDER BY t.visible DESC, t.deleted_at IS NULL DESC, t.changed_at DESC LIMIT 1
) AS t
WHERE held.ready {{0}}
ORDER BY held.dated, held.source, held.account, held.external_id"""
_WHOLE_LINES = _EVERY_LINE.format("")
_LINES = _EVERY_LINE.format("""AND held.used <> held.amount AND (
    SELECT 1 FROM matching.match m WHERE m.ledger_id = $1 AND m.source = asked.source AND m.account = asked.account
        AND m.external_id = asked.external_id AND m.status IN ('CERTAIN', 'CONFIRMED') LIMIT 1) IS NULL""")
_FOUND = "SELECT asked.n::integer AS n, found.kind, found.source, found.account, found.external_id"
_NAMED = f"""
{_FOUND}
FROM {ASKED} CROSS JOIN LATERAL (
    SELECT DISTINCT other.kind, other.source, other.account, other.external_id
    FROM matching.item_key mine CROSS JOIN LATERAL (
        SELECT k.kind, k.source, k.account, k.external_id FROM matching.item_key k
        WHERE k.ledger_id = $1 AND k.key = mine.key AND (k.key, k.kind) > (mine.key, 'bank_transaction') LIMIT 20
    ) AS other
    WHERE mine.ledger_id = $1 AND mine.kind = asked.kind AND mine.source = asked.source AND mine.account = asked.account
        AND mine.external_id = asked.external_id
    LIMIT 120
) AS found"""
_SAME = """i.ledger_id = $1 AND i.kind = wanted.kind AND i.currency = wanted.currency AND i.expected = wanted.expected AND i.ready
        AND i.used <> i.amount"""
_COLUMNS = "i.kind, i.source, i.account, i.external_id"
_NEAR = f"""
    (SELECT {_COLUMNS} FROM matching.item i WHERE {_SAME} AND i.dated <= wanted.dated ORDER BY i.dated DESC LIMIT {{0}})
    UNION ALL
    (SELECT {_COLUMNS} FROM matching.item i WHERE {_SAME} AND i.dated > wanted.dated ORDER BY i.dated LIMIT {{1}})"""
_AMOUNTS = "unnest($6::text[], $7::bigint[], $8::date[]) WITH ORDINALITY AS met (currency, expected, dated, n)"
_ALIKE = f"""
{_FOUND}
FROM {ASKED} JOIN {_AMOUNTS} USING (n)
CROSS JOIN unnest('{{invoice,payment,payroll_run,bank_transaction}}'::text[]) AS of_kind (name)
CROSS JOIN LATERAL (
    SELECT of_kind.name AS kind, met.currency, met.dated, CASE of_kind.name WHEN 'bank_transaction' THEN -met.expected ELSE met.expected END
        AS expected
) AS wanted
CROSS JOIN LATERAL ({_NEAR.format(12, 4)}
) AS found"""
_EARLIER = f"""
{_FOUND}
FROM {ASKED} JOIN unnest($6::bigint[], $7::date[]) WITH ORDINALITY AS met (amount, dated, n) USING (n)
CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM matching.item i
    WHERE i.ledger_id = $1 AND i.kind = 'bank_transaction' AND i.source = asked.source AND i.account = asked.account
        AND i.amount = -met.amount AND i.dated BETWEEN met.dated - 70 AND met.dated
    ORDER BY i.dated DESC LIMIT 20
) AS found"""
_SHARING = """
SELECT DISTINCT asked.n, i.kind, i.source, i.account, i.external_id
FROM unnest($2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::date[])
    AS asked (n, key, source, account, amount, dated)
CROSS JOIN LATERAL (
    SELECT k.*, count(*) OVER () AS sharing FROM (
        SELECT * FROM matching.item_key k WHERE k.ledger_id = $1 AND k.key = asked.key AND k.kind = 'bank_transaction'
            AND k.source = asked.source AND k.account = asked.account LIMIT 21
    ) AS k
) AS other
CROSS JOIN LATERAL (
    SELECT * FROM matching.item i WHERE i.ledger_id = $1 AND i.kind = other.kind AND i.source = other.source
        AND i.account = other.account AND i.external_id = other.external_id LIMIT 1
) AS i
WHERE other.sharing <= 20 AND sign(i.amount) = -sign(asked.amount) AND i.amount <> -asked.amount AND i.dated BETWEEN asked.dated - 70 AND asked.dated"""
_OF_PARTY = f"""
{_FOUND.replace("asked.n::integer AS n", "asked.n")}
FROM unnest($2::integer[], $3::text[]) AS asked (n, party)
CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM matching.item i
    WHERE i.ledger_id = $1 AND i.kind = 'invoice' AND i.party = asked.party AND i.ready AND i.used <> i.amount AND i.party <> ''
    ORDER BY i.dated LIMIT 40
) AS found"""
_WAITING = f"""
SELECT DISTINCT found.source, found.account, found.external_id
FROM {ASKED}
JOIN unnest($6::text[], $7::bigint[], $8::date[], $9::text[]) WITH ORDINALITY AS met (currency, expected, dated, party, n) USING (n)
CROSS JOIN LATERAL (
    SELECT 'bank_transaction' AS kind, met.currency, met.dated, CASE asked.kind WHEN 'bank_transaction' THEN -met.expected
        ELSE met.expected END AS expected
) AS wanted
CROSS JOIN LATERAL (
    (SELECT other.kind, other.source, other.account, other.external_id
    FROM matching.item_key mine CROSS JOIN LATERAL (
        SELECT k.* FROM matching.item_key k
        WHERE k.ledger_id = $1 AND k.key = mine.key AND (k.key, k.kind) < (mine.key, 'bank_transaction ') LIMIT 20
    ) AS other
    JOIN matching.item i ON i.ledger_id = $1 AND i.kind = other.kind AND i.source = other.source AND i.account = other.account
        AND i.external_id = other.external_id AND i.ready AND i.used <> i.amount
    WHERE asked.kind <> 'bank_transaction' AND mine.ledger_id = $1 AND mine.kind = asked.kind AND mine.source = asked.source
        AND mine.account = asked.account AND mine.external_id = asked.external_id LIMIT 20)
    UNION ALL
    {_NEAR.format(10, 10)}
    UNION ALL
    (SELECT {_COLUMNS} FROM matching.item i
    WHERE asked.kind = 'invoice' AND met.party <> '' AND i.ledger_id = $1 AND i.kind = 'bank_transaction' AND i.party = met.party
        AND i.ready AND i.used <> i.amount AND i.party <> ''
    ORDER BY i.dated LIMIT 20)
) AS found"""
