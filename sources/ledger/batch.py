"""One batch of one ledger's drafts on its way to `ledger.post_entries` and back: one statement, one round trip.

items -> Batch.of(...) -> arguments -> the database decides and posts -> one outcome for each item
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.ledger import canonical
from sources.ledger.model import (
    Conflict,
    Draft,
    EntryDraft,
    LedgerRef,
    Outcome,
    Posted,
    Reason,
    Rejected,
    ReversalDraft,
)
from sources.ledger.reasons import STOPPED, found_by_database
from sources.ledger.rules import MAX_LINES, CheckedEntry, body_hash_of_refused, check
from sources.ledger.texts import MAX_CODE, is_sendable
from sources.money import EXPONENTS

if TYPE_CHECKING:
    from sources.database.pool import Connection

_PARAMETERS: Final = 27
POST_ENTRIES: Final = (
    "SELECT answer.at_position, answer.outcome, answer.at_sequence, answer.faults "
    "FROM (SELECT set_config('ledgergraph.ledgers', $1, true) AS claim OFFSET 0) AS caller, "
    f"LATERAL ledger.post_entries(caller.claim, {', '.join(f'${number}' for number in range(2, _PARAMETERS + 2))}) "
    "AS answer"
)
"""The setting and the posting are one statement, so one transaction and one round trip; the claim's way through LATERAL
makes the setting come first."""


@dataclass(slots=True)
class Item:
    """A draft with what the rules said of it. `checked` is None where they refused it."""

    draft: Draft
    checked: CheckedEntry | None
    reasons: tuple[Reason, ...]
    body_hash: bytes | None

    @classmethod
    def of(cls, draft: Draft) -> Item:
        checked, reasons = check(draft)
        return cls(draft, checked, reasons, checked.body_hash if checked else body_hash_of_refused(draft))

    @property
    def key(self) -> tuple[str, str]:
        """What makes a replay: unique per ledger and origin."""
        return (self.draft.origin, self.draft.idempotency_key)

    @property
    def reverses(self) -> int | None:
        """The original's sequence, where this is a reversal of one that can exist."""
        sequence = self.draft.sequence if isinstance(self.draft, ReversalDraft) else 0
        return sequence if 0 < sequence < 2**63 else None

    @property
    def line_count(self) -> int:
        return len(self.draft.lines) if isinstance(self.draft, EntryDraft) else 0


@dataclass(slots=True)
class _Lines:
    """The batch's lines, one list per column, and the distinct accounts that they name."""

    accounts: dict[tuple[str, str | None], int] = field(default_factory=dict)
    entries: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    account_numbers: list[int] = field(default_factory=list)
    currencies: list[str | None] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    functional_amounts: list[int] = field(default_factory=list)
    descriptions: list[str | None] = field(default_factory=list)
    tax_codes: list[str | None] = field(default_factory=list)
    dimensions: list[str | None] = field(default_factory=list)

    def columns(self) -> list[Sequence[Any] | None]:
        return [
            [code for code, _ in self.accounts],
            [currency for _, currency in self.accounts],
            self.entries,
            self.numbers,
            self.account_numbers,
            self.currencies,
            self.amounts,
            self.functional_amounts,
            _present(self.descriptions),
            _present(self.tax_codes),
            _present(self.dimensions),
        ]

    def add(self, position: int, item: Item) -> None:
        if item.checked is None:
            self._add_refused(position, item.draft)
            return
        for number, line in enumerate(item.checked.lines, 1):
            account = (line.account, line.currency)
            self.entries.append(position)
            self.numbers.append(number)
            self.account_numbers.append(self.accounts.setdefault(account, len(self.accounts) + 1))
            self.currencies.append(line.currency)
            self.amounts.append(line.amount)
            self.functional_amounts.append(line.functional_amount)
            self.descriptions.append(line.description)
            self.tax_codes.append(line.tax_code)
            self.dimensions.append(_json(line.dimensions) if line.dimensions else None)

    def _add_refused(self, position: int, draft: Draft) -> None:
        """Only what finds more reasons: accounts that can be looked up, and currencies that exist."""
        if not isinstance(draft, EntryDraft) or len(draft.lines) > MAX_LINES:
            return
        for number, line in enumerate(draft.lines, 1):
            if not line.account.strip() or len(line.account) > MAX_CODE or not is_sendable(line.account):
                continue
            stated = draft.ledger.functional_currency if line.currency is None else line.currency
            account = (line.account, stated if stated in EXPONENTS else None)
            self.entries.append(position)
            self.numbers.append(number)
            self.account_numbers.append(self.accounts.setdefault(account, len(self.accounts) + 1))
            self.currencies.append(None)
            self.amounts.append(0)
            self.functional_amounts.append(0)
            self.descriptions.append(None)
            self.tax_codes.append(None)
            self.dimensions.append(None)


async def post_batch(connection: Connection, ledger: LedgerRef, groups: Sequence[Sequence[Item]]) -> list[Outcome]:
    """Posts the items of all groups, in order, in one transaction; a group of several is all or none. No two items have
    one key, and no two reverse one entry. Raises what the driver raises; nothing is posted then."""
    items = [item for group in groups for item in group]
    rows = await connection.fetch(POST_ENTRIES, *_arguments(ledger, groups, items))
    found = {row["at_position"]: row for row in rows}
    return [_outcome(ledger, item, found[position]) for position, item in enumerate(items, 1)]


def _arguments(ledger: LedgerRef, groups: Sequence[Sequence[Item]], items: Sequence[Item]) -> list[Any]:
    lines = _Lines()
    for position, item in enumerate(items, 1):
        lines.add(position, item)
    drafts = [item.draft for item in items]
    entries = [
        draft if isinstance(draft, EntryDraft) and item.checked else None
        for draft, item in zip(drafts, items, strict=True)
    ]
    return [
        str(ledger.ledger_id),
        ledger.ledger_id,
        canonical.VERSION,
        [draft.idempotency_key if is_sendable(draft.idempotency_key) else None for draft in drafts],
        [draft.origin for draft in drafts],
        [item.body_hash for item in items],
        [item.checked is None for item in items],
        [number if len(group) > 1 else 0 for number, group in enumerate(groups, 1) for _ in group],
        [draft.effective_date for draft in drafts],
        _present([entry.document_date if entry else None for entry in entries]),
        [draft.posted_by for draft in drafts],
        _present([entry.journal if entry else None for entry in entries]),
        [item.checked.description if item.checked else None for item in items],
        _present([entry.reference if entry else None for entry in entries]),
        _present([item.reverses for item in items]),
        [len(item.checked.lines) if item.checked else 0 for item in items],
        [item.checked.total if item.checked else 0 for item in items],
        *lines.columns(),
    ]


def _present(column: list[Any]) -> list[Any] | None:
    """The column, or None where it holds nothing: most batches leave most optional columns out."""
    return column if column.count(None) < len(column) else None


def _outcome(ledger: LedgerRef, item: Item, row: Any) -> Outcome:
    match row["outcome"]:
        case "posted" | "replayed" as word:
            return Posted(ledger, row["at_sequence"], word == "replayed")
        case "conflict":
            return Conflict(ledger, item.draft.idempotency_key, row["at_sequence"])
        case "stopped":
            return Rejected((STOPPED,))
    faults = orjson.loads(row["faults"]) if row["faults"] else []
    return Rejected((*item.reasons, *(found_by_database(item.draft, fault) for fault in faults)))


def _json(dimensions: Any) -> str:
    return orjson.dumps(dimensions).decode()
