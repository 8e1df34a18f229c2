"""Thousands of documents' lives, with workers that die in between: the ledger is the sum of what the rules say of the versions
stated last, every entry leads back to its document, and `verify` finds nothing.

LEDGERGRAPH_TEST_EXAMPLES=20 plays 10,000 histories.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sources.ledger.model import Posted, ReversalDraft
from sources.mapping.rates import Quote
from sources.pipeline.drafting import REVERSED, document_prefix
from sources.pipeline.model import Key
from sources.pipeline.rates import set_rates
from sources.pipeline.reposting import repost
from sources.pipeline.resolving import look_again
from tests.examples import FACTOR
from tests.proof.histories import RULES, Histories, Name, Wanted, nets_of, rate
from tests.sources.pipeline.company import CUTOVER, Company, opened
from tests.sources.pipeline.fragile import Crash, Fuse, fragile

RUNS = max(1, round(4 * FACTOR))
EACH = 125
"""Histories of one run."""
ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@dataclass
class Entry:
    """An entry of the pipeline as its document's link leads to it."""

    document: Name
    posting: str
    sequence: int
    key: str
    reverses: int | None
    day: date
    nets: dict[str, int]


async def entries_of(company: Company) -> list[Entry]:
    """Every entry that a document's link leads to, once for each link."""
    nets: dict[int, dict[str, int]] = defaultdict(dict)
    for row in await company.owner.fetch(_LINES, company.ledger.ledger_id):
        nets[row["sequence"]][row["code"]] = row["net"]
    rows = await company.owner.fetch(_ENTRIES, company.ledger.ledger_id)
    return [
        Entry(
            (row["kind"], row["external_id"]), row["posting"], row["sequence"], row["idempotency_key"],
            row["reverses"], row["effective_date"], nets[row["sequence"]],
        )
        for row in rows
    ]  # fmt: skip


async def is_as_the_rules_say(company: Company, histories: Histories, *, locked: bool) -> None:
    """All that is claimed above; `locked`: entries may have moved to the first open day."""
    assert await company.nets() == histories.nets()
    assert await company.findings() == []
    assert await company.to_do() == []
    assert not any((await company.issues()).values())
    entries = await entries_of(company)
    assert len({each.sequence for each in entries}) == len(entries), "an entry belongs to several documents"
    by_sequence = {each.sequence: each for each in entries}
    standing: dict[Name, list[Entry]] = defaultdict(list)
    undone = {each.reverses for each in entries if each.reverses is not None}
    for each in entries:
        assert each.key.startswith(document_prefix(Key("billing", each.document[0], "", each.document[1])))
        if each.reverses is not None:
            is_undone_by(by_sequence[each.reverses], each)
        elif each.sequence not in undone:
            standing[each.document].append(each)
    stand(standing, histories.wanted(), held_until(entries), locked=locked)


def held_until(entries: Sequence[Entry]) -> Callable[[Name, str, Collection[str]], date]:
    """Of a document's posting, given all that are called for, the last day of the reversals of what was in the books for a day at
    least, as this posting or as one that it took the place of. On no day two entries of a posting are in the books."""
    undone = {each.reverses: each for each in entries if each.reverses is not None}
    firsts: dict[tuple[Name, str], int] = {}
    spans: dict[tuple[Name, str], list[tuple[date, date, int]]] = defaultdict(list)
    for each in [each for each in entries if each.reverses is None]:
        end = undone.get(each.sequence)
        firsts.setdefault((each.document, each.posting), each.sequence)
        if end is None or end.day > each.day:
            span = (each.day, end.day if end else date.max, end.sequence if end else 0)
            spans[each.document, each.posting].append(span)
    for held in spans.values():
        assert all(one[1] <= other[0] for one, other in pairwise(sorted(held)))

    def until(document: Name, posting: str, called: Collection[str]) -> date:
        days = [
            day
            for (owner, name), held in spans.items()
            for _, day, sequence in held
            if owner == document and day < date.max
            if name == posting or (name not in called and sequence < firsts[document, posting])
        ]
        return max(days, default=date.min)

    return until


def is_undone_by(original: Entry, reversal: Entry) -> None:
    """A reversal is of the same document and posting, takes all of it back, and is not dated before it."""
    assert (original.document, original.posting) == (reversal.document, reversal.posting)
    assert reversal.key == original.key + REVERSED
    assert reversal.nets == {code: -net for code, net in original.nets.items()}
    assert reversal.day >= original.day


def stand(
    standing: Mapping[Name, list[Entry]],
    called_for: Mapping[Name, list[Wanted]],
    until: Callable[[Name, str, Collection[str]], date],
    *,
    locked: bool,
) -> None:
    """What stands of each document is just what its last version calls for, dated not before the books ceased to hold it."""
    assert standing.keys() == called_for.keys()
    for name, postings in called_for.items():
        found = sorted(standing[name], key=lambda each: each.posting)
        assert [each.posting for each in found] == [each.name for each in postings]
        for entry, posting in zip(found, postings, strict=True):
            assert entry.nets == nets_of([posting])
            day = max(posting.day, until(name, posting.name, {each.name for each in postings}))
            assert entry.day == day or (locked and entry.day > day)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(RUNS))
async def test_lives_of_documents_end_as_the_rules_say(seed: int, database_url: str, owner_url: str) -> None:
    """Workers die in any of their steps; in some runs periods are locked meanwhile."""
    histories = Histories(seed, EACH)
    chance, locking = histories.chance, seed % 3 == 2
    locked = CUTOVER - timedelta(days=30)
    async with opened(database_url, owner_url) as company:
        await company.use_rules(RULES)
        late = chance.randrange(6)
        for number in range(6):
            documents, gone = histories.page(0.5)
            await company.state(*documents, gone=gone)
            if number == late:
                await rates_come(company)
            for _ in range(chance.randrange(4)):
                await dies(company, Fuse(chance.randrange(2, 60)), chance.choice([20, 90, 500]))
            if locking and chance.random() < 0.4:
                locked += timedelta(days=chance.randrange(40))
                await company.lock(locked)
            if chance.random() < 0.5:
                await company.look()
        documents, gone = histories.mend()
        await company.state(*documents, gone=gone)
        await company.look()
        await is_as_the_rules_say(company, histories, locked=locking)
        before = len(await company.entries())
        await company.state(*documents, gone=gone)
        await company.look()
        assert len(await company.entries()) == before, "the same again posted something"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2000, 2000 + max(2, RUNS // 2)))
async def test_whatever_a_person_reverses_is_told_of_until_the_books_are_right(
    seed: int, database_url: str, owner_url: str
) -> None:
    """Entries, their reversals and the reversals of those, at any time, also while a worker has died. What issues say is then
    done: nothing else is wrong."""
    histories = Histories(seed, EACH)
    chance = histories.chance
    async with opened(database_url, owner_url) as company:
        await company.use_rules(RULES)
        await rates_come(company)
        for _ in range(6):
            documents, gone = histories.page(0.5)
            await company.state(*documents, gone=gone)
            await dies(company, Fuse(chance.randrange(2, 90)), chance.choice([20, 90, 500]))
            for _ in range(3):
                standing = await company.owner.fetch(_NOT_REVERSED)
                chosen = chance.sample([row["sequence"] for row in standing], k=min(4, len(standing)))
                await reversed_by_hand(company, chosen)
            if chance.random() < 0.5:
                await company.look()
        documents, gone = histories.mend()
        await company.state(*documents, gone=gone)
        await company.look()
        told = await mended_as_told(company)
        assert told >= {"REVERSED_BY_HAND", "REINSTATED_BY_HAND"}
        assert await company.nets() == histories.nets()
        assert await company.findings() == []
        assert await company.to_do() == []


async def reversed_by_hand(company: Company, sequences: Iterable[int]) -> None:
    for sequence in sequences:
        draft = ReversalDraft(
            ledger=company.ledger, idempotency_key=f"hand {sequence}", sequence=sequence,
            effective_date=date(2190, 1, 1), posted_by="ann",
        )  # fmt: skip
        assert isinstance((await company.poster.post([draft]))[0], Posted)


async def mended_as_told(company: Company) -> set[str]:
    """Does what open issues say, until there is none; answers with their codes."""
    codes = set()
    while rows := await company.owner.fetch(_OPEN):
        for row in rows:
            codes.add(row["code"])
            if row["code"] == "REINSTATED_BY_HAND":
                await reversed_by_hand(company, map(int, re.findall(r"by (\d+)\)", row["message"])))
            else:
                await repost(company.database, company.ledger.ledger_id, [Key(*row[:4])])
        await company.look()
    return codes


async def rates_come(company: Company) -> None:
    days = [CUTOVER + timedelta(days=number) for number in range(-60, 200)]
    quotes = [Quote("EUR", "USD", "spot", day, Decimal(rate(day))) for day in days]
    await set_rates(company.speaking, quotes, "test")
    await look_again(company.database, [company.ledger.ledger_id])


async def dies(company: Company, fuse: Fuse, batch: int) -> None:
    """A worker that runs until its fuse has burnt down, or nothing is due."""
    try:
        await fragile(company.database, company.poster, fuse, batch=batch).run_ledger(company.ledger.ledger_id)
    except Crash:
        return


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1000, 1000 + max(1, RUNS // 4)))
async def test_killed_processes_lose_and_double_nothing(seed: int, database_url: str, owner_url: str) -> None:
    """`kill -9` of real worker processes, whenever they have posted something."""
    histories = Histories(seed, EACH)
    async with opened(database_url, owner_url) as company:
        await company.use_rules(RULES)
        await rates_come(company)
        for _ in range(4):
            documents, gone = histories.page(0.6)
            await company.state(*documents, gone=gone)
            async with worker(database_url) as process:
                await posts_something(company)
                process.kill()
        documents, gone = histories.mend()
        await company.state(*documents, gone=gone)
        async with worker(database_url), asyncio.timeout(PATIENCE):
            while await company.to_do():
                await asyncio.sleep(0.02)
        await is_as_the_rules_say(company, histories, locked=False)


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, killed at the end of the block at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sources.pipeline.worker_process", url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def posts_something(company: Company) -> None:
    before: Any = await company.owner.fetchval(_NEWEST)
    async with asyncio.timeout(PATIENCE):
        while await company.owner.fetchval(_NEWEST) == before and await company.to_do():
            await asyncio.sleep(0.005)


_NOT_REVERSED = """
SELECT sequence FROM ledger.entry e WHERE NOT EXISTS (SELECT FROM ledger.entry r WHERE r.reverses = e.sequence)
ORDER BY sequence"""
_OPEN = """
SELECT source, kind, account, external_id, code, message FROM mirror.issue WHERE closed_at IS NULL ORDER BY opened_at, subject"""
_NEWEST = "SELECT max(sequence) FROM ledger.entry"
_LINES = """
SELECT sequence, code, sum(functional_amount)::bigint AS net FROM ledger.line JOIN ledger.account USING (ledger_id, account_id)
WHERE ledger_id = $1 GROUP BY sequence, code HAVING sum(functional_amount) <> 0"""
_ENTRIES = """
SELECT kind, external_id, posting, sequence, idempotency_key, reverses, effective_date
FROM mirror.document_entry JOIN ledger.entry USING (ledger_id, sequence)
WHERE ledger_id = $1 ORDER BY sequence"""
