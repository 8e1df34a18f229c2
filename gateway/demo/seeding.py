"""Puts the sample company into a database, through the same path as everyone: created ledgers and charts, posted entries.

Everything has a key or a code of its own, so that an interrupted seeding goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import orjson

from gateway.demo.bookkeeper import POSTED_BY, BookItem, ReversalOf
from gateway.demo.books import year_of_books
from gateway.demo.company import ENTITIES, SEED, Entity, chart
from gateway.openbooks import Books, local_caller
from sources.errors import ConfigurationError
from sources.ledger import administration
from sources.ledger.model import AccountDraft, ChangeRejected, Draft, LedgerRef, Posted, ReversalDraft

STATE_FILE = "demo.json"
VERSION = 3
"""Of what is seeded, and of what happens then; books of another one cannot be gone on with."""
BATCH = 500


@dataclass(frozen=True, slots=True)
class DemoState:
    """What the sample was made from, kept in the data directory: another start has to make the same. `seeded`: it is whole."""

    seed: int
    through: date
    seeded: bool = False


def load_state(data_dir: Path, today: date) -> DemoState:
    """The state of the data directory; the one of a first start where there is none."""
    path = data_dir / STATE_FILE
    if not path.exists():
        return DemoState(SEED, today)
    try:
        stored = orjson.loads(path.read_bytes())
        if stored.get("version", 1) != VERSION:
            raise ConfigurationError(f"{path} is of another version of the demo: begin anew with --fresh")
        return DemoState(stored["seed"], date.fromisoformat(stored["through"]), stored["seeded"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{path} is not what the demo wrote: begin anew with --fresh") from None


def save_state(data_dir: Path, state: DemoState) -> None:
    """Replaces the state at once, so that a reader never sees half of it."""
    draft = data_dir / f"{STATE_FILE}.new"
    stored = {"version": VERSION, "seed": state.seed, "through": state.through, "seeded": state.seeded}
    draft.write_bytes(orjson.dumps(stored))
    draft.replace(data_dir / STATE_FILE)


async def seed(opened: Books, data_dir: Path, today: date, progress: Callable[[int, int], None]) -> DemoState:
    """Makes the sample whole; `progress` is told how many entries are posted, and of how many. Raises ConfigurationError when
    the database holds other books of these names."""
    state = load_state(data_dir, today)
    if state.seeded:
        return state
    save_state(data_dir, state)
    refs = await provide_charts(opened)
    books = [list(year_of_books(*pair, state.through, state.seed)) for pair in zip(ENTITIES, refs, strict=True)]
    total, done = sum(map(len, books)), 0

    def count(posted: int) -> None:
        nonlocal done
        done += posted
        progress(done, total)

    await asyncio.gather(*(_post(opened, ref, items, count) for ref, items in zip(refs, books, strict=True)))
    state = replace(state, seeded=True)
    save_state(data_dir, state)
    return state


async def provide_charts(opened: Books) -> list[LedgerRef]:
    """The ledgers with their accounts. Raises ConfigurationError when the database holds others of these names."""
    return [await _provide(opened, entity) for entity in ENTITIES]


async def _provide(opened: Books, entity: Entity) -> LedgerRef:
    caller = local_caller(POSTED_BY)
    ledger = await administration.create_ledger(
        opened.database, caller, code=entity.code, name=entity.name, functional_currency=entity.currency
    )
    drafts = [
        AccountDraft(
            code=account.code,
            name=account.name,
            type=account.type,
            normal_side=account.normal_side,
            currency=account.currency,
            parent=account.parent,
        )
        for account in chart(entity)
    ]
    if isinstance(ledger, ChangeRejected):
        raise _other_books(ledger.reasons[0].message)
    accounts = await administration.create_accounts(opened.database, caller, ledger=entity.code, accounts=drafts)
    if isinstance(accounts, ChangeRejected):
        raise _other_books(accounts.reasons[0].message)
    return ledger


async def _post(opened: Books, ledger: LedgerRef, items: list[BookItem], count: Callable[[int], None]) -> None:
    sequences: dict[str, int] = {}
    for batch in _batches(items):
        outcomes = await opened.poster.post([_draft(item, ledger, sequences) for item in batch])
        for item, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Posted):
                raise _other_books(f"{ledger.code}: {item.idempotency_key}: {outcome}")
            sequences[item.idempotency_key] = outcome.sequence
        count(len(batch))


def _batches(items: Iterable[BookItem]) -> Iterator[list[BookItem]]:
    """At most BATCH items each; a reversal is never in its original's batch, whose sequence it needs."""
    batch: list[BookItem] = []
    keys: set[str] = set()
    for item in items:
        if len(batch) == BATCH or (isinstance(item, ReversalOf) and item.original in keys):
            yield batch
            batch, keys = [], set()
        batch.append(item)
        keys.add(item.idempotency_key)
    yield batch


def _draft(item: BookItem, ledger: LedgerRef, sequences: dict[str, int]) -> Draft:
    if not isinstance(item, ReversalOf):
        return item
    return ReversalDraft(
        ledger=ledger,
        idempotency_key=item.idempotency_key,
        sequence=sequences[item.original],
        effective_date=item.effective_date,
        posted_by=POSTED_BY,
        description=item.description,
    )


def _other_books(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the data directory holds books that are not the demo's ({reason}): begin anew with --fresh"
    )
