"""What people decide: a proposal confirmed or rejected, a match made by hand or undone, a rule removed. One transaction each, with the
ledger's claim. Wake the pipeline afterwards.

What a person decides is also taught, as a rule in words: who pays for whom, which account a text goes to, what a transaction is not
about. See `sources.matching.taught` for how they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sources.database.pool import Database
from sources.errors import NotFound
from sources.matching import (
    allocating,
    candidates,
    clues,
    items,
    keeping,
    kept,
    ledger_accounts,
    stating,
    teaching,
    todo,
)
from sources.matching.allocating import Unfit
from sources.matching.model import LIVE, Allocation, Item, ItemKey, Line, Match, Reason, Status
from sources.matching.stating import Stated
from sources.pipeline.taking import turn

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def confirm(database: Database, ledger_id: int, match_id: int, *, by: str) -> None:
    """A proposal is what the transaction is about; where money of it is on account, in place of the match that says so. Raises NotFound where it waits no more, Unfit where its documents are not open any
    more as they were, DatabaseUnavailable."""
    async with turn(database, ledger_id) as connection:
        line_key = await _line_of(connection, ledger_id, match_id, (Status.PROPOSED,))
        parts = (await kept.allocations_of(connection, ledger_id, [match_id]))[match_id]
        await _give_way(connection, ledger_id, line_key, by)
        line, held = await _state(connection, ledger_id, line_key, [each.key for each in parts])
        allocating.check(line, held, parts)
        others = await kept.matches_of(connection, ledger_id, [line_key], [Status.PROPOSED])
        rest = [number for number in others[line_key] if number != match_id]
        await keeping.decide(connection, ledger_id, rest, Status.WITHDRAWN, by=by)
        await keeping.decide(connection, ledger_id, [match_id], Status.CONFIRMED, by=by)
        await _note_used(connection, ledger_id, parts)
        await teaching.payer(
            connection, ledger_id, line, [held[each.key] for each in parts if each.key in held], match_id, by
        )


async def reject(database: Database, ledger_id: int, match_id: int, *, by: str) -> None:
    """A proposal is not what the transaction is about, and is not proposed again. Raises NotFound, DatabaseUnavailable."""
    await _refuse(database, ledger_id, match_id, (Status.PROPOSED,), by)


async def unmatch(database: Database, ledger_id: int, match_id: int, *, by: str) -> None:
    """A match that stands is undone: what was posted of it is reversed, and it is not found again. Raises NotFound,
    DatabaseUnavailable."""
    await _refuse(database, ledger_id, match_id, LIVE, by)


async def _refuse(database: Database, ledger_id: int, match_id: int, statuses: Sequence[Status], by: str) -> None:
    async with turn(database, ledger_id) as connection:
        line = await _line_of(connection, ledger_id, match_id, statuses)
        await keeping.decide(connection, ledger_id, [match_id], Status.REJECTED, by=by)
        await teaching.never(connection, ledger_id, line, match_id, by)
        await todo.note(connection, ledger_id, [line])
        await _note_used(
            connection, ledger_id, (await kept.allocations_of(connection, ledger_id, [match_id]))[match_id]
        )


async def match(
    database: Database,
    ledger_id: int,
    line_key: ItemKey,
    stated: Sequence[Stated],
    *,
    by: str,
    remember: str | None = None,
    completes: bool = False,
) -> int:
    """A person says what a transaction is about; answers with the number of the match. Of an allocation to a document only its key and
    amounts count, and what stays on account is on the side and with the party of the first one of a document, where it states none.
    `completes`: it adds to the match that stands and leaves something, and takes its place. `remember`: words of the transaction's text
    that mean the one ledger account of the allocations from now on. Raises NotFound, Unfit, AccountsRefused, DatabaseUnavailable."""
    async with turn(database, ledger_id) as connection:
        stands = await _taken_over(connection, ledger_id, line_key, by) if completes else []
        keys = [*(each.key for each in stands), *(each.key for each in stated)]
        line, held = await _state(connection, ledger_id, line_key, keys)
        rest = line.open - sum(each.bank_amount for each in stands)
        parts = [_completed(line, held, each) for each in stating.allocations(line.currency, held, stated, rest)]
        first = next((each for each in (*stands, *parts) if each.party_id or each.is_of_document), None)
        parts = [_placed(each, first) for each in parts]
        whole = list(allocating.merged([*stands, *parts])) if stands else parts
        allocating.check(line, held, whole)
        await ledger_accounts.check(connection, ledger_id, line.currency, parts)
        if line.open != line.amount:
            raise Unfit("another transaction's match uses some of this one: undo that first")
        words = _remembered(line, whole, remember)
        proposed = await kept.matches_of(connection, ledger_id, [line_key], [Status.PROPOSED])
        await keeping.decide(connection, ledger_id, proposed.get(line_key, {}), Status.WITHDRAWN, by=by)
        made = Match(line_key, tuple(whole), (Reason("PERSON", 100, "A person matched it."),))
        numbers = await keeping.add(connection, ledger_id, [(made, Status.CONFIRMED)], by=by)
        await _note_used(connection, ledger_id, whole)
        documents = [held[each.key] for each in whole if each.is_of_document]
        await teaching.payer(connection, ledger_id, line, documents, numbers[0], by)
        if words:
            await teaching.account(connection, ledger_id, line, words, whole[0].key.external_id, numbers[0], by)
    return numbers[0]


async def remove_rule(database: Database, ledger_id: int, rule_id: int, *, by: str) -> None:
    """What it decided stands; open transactions are looked at again. Raises NotFound, DatabaseUnavailable."""
    async with turn(database, ledger_id) as connection:
        if not await teaching.remove(connection, ledger_id, rule_id, by):
            raise NotFound(f"there is no rule {rule_id} in force")


# ---------------------------------------------------------------- what they are about


async def _line_of(connection: Connection, ledger_id: int, match_id: int, statuses: Sequence[Status]) -> ItemKey:
    row = await connection.fetchrow(_MATCH, ledger_id, match_id, [status.value for status in statuses])
    if row is None:
        raise NotFound(f"there is no match {match_id} that can still be decided so")
    return ItemKey("bank_transaction", row["source"], row["account"], row["external_id"])


async def _give_way(connection: Connection, ledger_id: int, line_key: ItemKey, by: str) -> None:
    """A match that stands is withdrawn, as another one that says anew what the whole transaction is about takes its place."""
    live = await kept.matches_of(connection, ledger_id, [line_key], LIVE)
    await keeping.decide(connection, ledger_id, live.get(line_key, {}), Status.WITHDRAWN, by=by)


async def _taken_over(connection: Connection, ledger_id: int, line_key: ItemKey, by: str) -> list[Allocation]:
    """The allocations of the match that stands, which is withdrawn. Raises Unfit where none does."""
    live = await kept.matches_of(connection, ledger_id, [line_key], LIVE)
    if line_key not in live:
        raise Unfit("no match of the transaction stands that could be completed")
    await _give_way(connection, ledger_id, line_key, by)
    return [each for parts in live[line_key].values() for each in parts]


async def _state(
    connection: Connection, ledger_id: int, line_key: ItemKey, keys: Sequence[ItemKey]
) -> tuple[Line, dict[ItemKey, Item]]:
    held = await items.held(connection, ledger_id, {line_key, *keys})
    found = held.get(line_key)
    if found is None or not found.ready:
        raise NotFound(f"there is no booked transaction {line_key.external_id[:80]} that can be matched")
    line = await candidates.line_of(connection, ledger_id, line_key)
    if line is None:
        what = "complete it, or undo it first" if found.open else "undo it first"
        raise Unfit(f"a match of the transaction stands: {what}")
    return line, held


def _completed(line: Line, held: dict[ItemKey, Item], part: Allocation) -> Allocation:
    """With what is known of its document. A document that is not known is found by `allocating.check`."""
    if not part.is_of_document or part.key not in held:
        return part
    return allocating.of_item(held[part.key], part.amount, part.bank_amount)


def _placed(part: Allocation, first: Allocation | None) -> Allocation:
    if part.key.kind != "on_account":
        return part
    if part.party_id is None and first is not None:
        part = replace(part, party_id=first.party_id, side=first.side)
    if part.side not in ("receivable", "payable"):
        raise Unfit("money on account is a party's: name it, or allocate to one of its documents too")
    return part


def _remembered(line: Line, parts: Sequence[Allocation], remember: str | None) -> frozenset[str]:
    """The words that are to be remembered. Raises Unfit."""
    if remember is None:
        return frozenset()
    words = frozenset(clues.runs(clues.plain(remember)))
    if len(parts) != 1 or parts[0].key.kind != "account":
        raise Unfit("a text is remembered for one ledger account, to which the whole transaction goes")
    if not any(len(word) > 2 for word in words) or not words <= set(clues.runs(line.text)):
        raise Unfit(
            "the text to remember has at least one word of three letters, and all of its words stand in the transaction's"
        )
    return words


async def _note_used(connection: Connection, ledger_id: int, parts: Sequence[Allocation]) -> None:
    """Proposals of other transactions that counted on these documents are to be looked at."""
    used = [each.key for each in parts if each.is_of_document]
    others = await kept.touching(connection, ledger_id, used, [Status.PROPOSED])
    await todo.note(connection, ledger_id, [line for _, line in others])


_MATCH = """
SELECT source, account, external_id FROM matching.match WHERE ledger_id = $1 AND match_id = $2 AND status = ANY($3::text[])"""
