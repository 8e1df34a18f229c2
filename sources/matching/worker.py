"""One batch of what matching has to look at, in a transaction that has the ledger's claim.

    take -> refresh what is known of the documents -> withdraw what no longer fits -> gather candidates -> decide -> keep

What is certain is posted by the pipeline's next run, as its transaction is then to be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sources.mapping.compiled import RuleSet
from sources.matching import advanced, candidates, items, keeping, kept, payment_runs, payslips, todo
from sources.matching.deciding import decide
from sources.matching.model import LIVE, Allocation, Item, ItemKey, Match, Status

if TYPE_CHECKING:
    from sources.database.pool import Connection

BATCH: Final = 500
_LIVE_OR_PROPOSED = (*LIVE, Status.PROPOSED)


def applying(rules: RuleSet) -> frozenset[str]:
    """Names of the rules that book what bank transactions are about. What another rule books is not matched."""
    return frozenset(
        rule.name
        for rule in rules.rules["bank_transaction"]
        if any(line.each == "allocations" for posting in rule.postings for line in posting.lines)
    )


async def step(connection: Connection, ledger_id: int, rules: RuleSet, limit: int = BATCH) -> int:
    """Looks at what has waited longest; answers with how many documents these were. The caller has claimed the ledger."""
    due = await todo.take(connection, ledger_id, limit)
    if not due:
        return 0
    await connection.execute(_BY_INDEX)
    keys = [each.key for each in due]
    changed = await refresh(connection, ledger_id, keys, applying(rules))
    lines = [key for key in keys if key.kind == "bank_transaction"]
    await _tell(connection, ledger_id, changed, lines)
    await _tell_of_parts(connection, ledger_id, keys, lines)
    await _match(connection, ledger_id, lines)
    await todo.close(connection, ledger_id, due)
    return len(due)


async def refresh(
    connection: Connection, ledger_id: int, keys: Sequence[ItemKey], names: Collection[str]
) -> list[Item]:
    """Brings up to date what is known of these documents, and withdraws matches that no longer fit; answers with those that can be
    matched otherwise than before."""
    wanted = list(dict.fromkeys([*keys, *await _settled(connection, ledger_id, keys)]))
    found = await items.read(connection, ledger_id, wanted, names)
    before = await items.held(connection, ledger_id, wanted)
    broken = [key for key, item in found.items() if key in before and not fits(item, before[key])]
    if broken:
        numbers = [number for number, _ in await kept.touching(connection, ledger_id, broken, LIVE)]
        await keeping.decide(connection, ledger_id, numbers, Status.WITHDRAWN, by=keeping.BY_PROGRAM)
        before = await items.held(connection, ledger_id, wanted)
    await items.keep(connection, ledger_id, found, before)
    moved = [key for key, item in found.items() if key in before and item.side is not before[key].side]
    await keeping.post_again(connection, ledger_id, moved)
    for key, item in found.items():
        if key in before:
            item.open = item.amount - (before[key].amount - before[key].open)
    return [item for key, item in found.items() if (_differs(item, before[key]) if key in before else item.amount)]


def fits(item: Item, before: Item) -> bool:
    """Whether what is used of a document is still of it."""
    used = before.amount - before.open
    return used == 0 or (used * item.amount > 0 and abs(used) <= abs(item.amount) and item.currency == before.currency)


def _differs(item: Item, before: Item) -> bool:
    mine, theirs = (
        (each.ready, each.open, each.expected, each.currency, each.party, each.keys, each.dated)
        for each in (item, before)
    )
    return mine != theirs


async def _settled(connection: Connection, ledger_id: int, keys: Sequence[ItemKey]) -> list[ItemKey]:
    """The invoices that payments among these documents settle, and those that credit notes name, and the other way round."""
    payments = [key for key in keys if key.kind == "payment"]
    invoices = [key for key in keys if key.kind == "invoice"]
    rows = await connection.fetch(_SETTLED, ledger_id, *todo.columns_of(payments)) if payments else []
    rows += await connection.fetch(_CREDITED, ledger_id, *todo.columns_of(invoices)) if invoices else []
    return [ItemKey("invoice", row["source"], "", row["invoice"]) for row in rows]


async def _tell(
    connection: Connection, ledger_id: int, changed: Sequence[Item], looked_at: Collection[ItemKey]
) -> None:
    """Other transactions for which these documents are news are to be looked at."""
    lines = [
        line
        for _, line in await kept.touching(connection, ledger_id, [item.key for item in changed], [Status.PROPOSED])
    ]
    news = [item for item in changed if item.ready and item.open]
    if news:
        lines += await candidates.waiting_for(connection, ledger_id, news)
        lines += await advanced.waiting_for(connection, ledger_id, news)
    await todo.note(connection, ledger_id, set(lines) - set(looked_at))


async def _tell_of_parts(
    connection: Connection, ledger_id: int, keys: Sequence[ItemKey], looked_at: Collection[ItemKey]
) -> None:
    """As `_tell`, of transactions that may be a payslip of a payroll run, or the sum of payments that were made together."""
    runs = [key for key in keys if key.kind == "payroll_run"]
    lines = await payslips.waiting_for(connection, ledger_id, runs)
    payments = [key for key in keys if key.kind == "payment"]
    lines += await payment_runs.waiting_for(connection, ledger_id, payments)
    await todo.note(connection, ledger_id, set(lines) - set(looked_at))


async def _match(connection: Connection, ledger_id: int, lines: Sequence[ItemKey]) -> None:
    if not lines:
        return
    batch = await candidates.gather(connection, ledger_id, lines)
    found = decide(batch.lines, batch.candidates, batch.items, batch.matched, batch.rules, batch.around)
    found |= await advanced.proposals(connection, ledger_id, set(lines) - found.keys())
    proposed = await kept.matches_of(connection, ledger_id, lines, [Status.PROPOSED])
    stale, new = _compared(lines, proposed, found)
    await keeping.decide(connection, ledger_id, stale, Status.WITHDRAWN, by=keeping.BY_PROGRAM)
    await keeping.add(connection, ledger_id, new)
    used = [
        each.key
        for match, status in new
        if status is Status.CERTAIN
        for each in match.allocations
        if each.is_of_document
    ]
    freed = [
        each.key
        for held in proposed.values()
        for number, parts in held.items()
        if number in stale
        for each in parts
        if each.is_of_document
    ]
    others = [line for _, line in await kept.touching(connection, ledger_id, used, [Status.PROPOSED])]
    others += {line for _, line in await kept.touching(connection, ledger_id, freed, [Status.PROPOSED])} - set(lines)
    rests = [batch.items[key] for key in used if key.kind == "payroll_run" and batch.items[key].open]
    others += await candidates.waiting_for(connection, ledger_id, rests) if rests else []
    await todo.note(connection, ledger_id, others)


def _compared(
    lines: Sequence[ItemKey],
    proposed: Mapping[ItemKey, Mapping[int, Sequence[Allocation]]],
    found: Mapping[ItemKey, Sequence[Match]],
) -> tuple[list[int], list[tuple[Match, Status]]]:
    """Numbers of proposals that do not stand any more, and what is new. One that says the same stays as it is."""
    stale: list[int] = []
    new: list[tuple[Match, Status]] = []
    for line in dict.fromkeys(lines):
        held = {_targets(allocations): number for number, allocations in proposed.get(line, {}).items()}
        for match in found.get(line, ()):
            if match.certain:
                new.append((match, Status.CERTAIN))
            elif held.pop(match.targets, None) is None:
                new.append((match, Status.PROPOSED))
        stale += held.values()
    return stale, new


def _targets(allocations: Sequence[Allocation]) -> tuple[tuple[ItemKey, int, int], ...]:
    return tuple(sorted((each.key, each.amount, each.bank_amount) for each in allocations))


# Every statement looks up a bounded number of rows for each document. On tables that grew since they were analysed, or that hold
# another ledger's rows besides, the planner would read them whole.
_BY_INDEX = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_material', 'off', true)"""
_SETTLED = f"""
SELECT DISTINCT held.source, held.invoice_external_id AS invoice FROM {todo.ASKED}
JOIN mirror.payment held ON held.ledger_id = $1 AND held.source = asked.source AND held.external_id = asked.external_id
WHERE held.invoice_external_id IS NOT NULL"""
_CREDITED = f"""
SELECT held.source, held.raw ->> 'invoice' AS invoice FROM {todo.ASKED}
JOIN mirror.invoice held ON held.ledger_id = $1 AND held.source = asked.source AND held.external_id = asked.external_id
WHERE held.kind = 'CREDIT_NOTE' AND held.raw ->> 'invoice' IS NOT NULL
UNION
SELECT note.source, note.external_id FROM {todo.ASKED}
CROSS JOIN LATERAL (
    SELECT n.source, n.external_id FROM mirror.invoice n
    WHERE n.ledger_id = $1 AND n.source = asked.source AND n.raw ->> 'invoice' = asked.external_id COLLATE "default"
        AND n.kind = 'CREDIT_NOTE' LIMIT 100
) AS note"""
