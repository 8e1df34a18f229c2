"""Books in plain Python that take drafts as the ledger does, a document's mapping that a test can vary, and the pipeline's pure
half played over them, with a crash wherever the test wants one."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sources.ledger.model import (
    Conflict,
    Draft,
    LedgerRef,
    Outcome,
    Posted,
    Reason,
    Rejected,
    RejectionCode,
    ReversalDraft,
)
from sources.ledger.rules import CheckedEntry, check
from sources.mapping.model import MappedLine, MappedPosting, Mapping, Policy, Unmapped, UnmappedCode
from sources.pipeline import drafting, planning, settling
from sources.pipeline.model import Key, Past, Plan, Posting, PostingStatus, Terms, Version
from sources.pipeline.settling import Standing

LEDGER = LedgerRef(1, "acme-us", "USD")
CUTOVER = date(2026, 1, 1)
SPOILED = 13
"""A document of this amount cannot be mapped; one of the next cannot be posted."""


class Crash(Exception):
    """The process dies here."""


@dataclass(frozen=True)
class Entry:
    sequence: int
    origin: str
    key: str
    day: date
    body_hash: bytes
    description: str
    nets: tuple[tuple[str, int], ...]
    reverses: int | None


@dataclass
class ModelBooks:
    """What the ledger does with drafts: keys once, all or none, locked periods, one reversal for each entry."""

    entries: list[Entry] = field(default_factory=list)
    locked: date | None = None

    def post(self, drafts: Sequence[Draft]) -> list[Outcome]:
        outcomes = [self._decide(draft, check(draft)[0]) for draft in drafts]
        stopped = any(isinstance(outcome, (Rejected, Conflict)) for outcome in outcomes)
        return [
            (Rejected((Reason(RejectionCode.BATCH_REJECTED, ""),)) if stopped else self._append(draft))
            if outcome is None
            else outcome
            for draft, outcome in zip(drafts, outcomes, strict=True)
        ]

    def _decide(self, draft: Draft, checked: CheckedEntry | None) -> Outcome | None:
        assert checked is not None, check(draft)[1]
        before = next((e for e in self.entries if (e.origin, e.key) == (draft.origin, draft.idempotency_key)), None)
        if before is not None:
            same = before.body_hash == checked.body_hash
            return Posted(LEDGER, before.sequence, True) if same else Conflict(LEDGER, before.key, before.sequence)
        codes = []
        if isinstance(draft, ReversalDraft):
            assert draft.effective_date >= self.entries[draft.sequence - 1].day
            if draft.sequence in self.reversals():
                codes.append(RejectionCode.ALREADY_REVERSED)
        elif any(line.account == "nowhere" for line in draft.lines):
            codes.append(RejectionCode.UNKNOWN_ACCOUNT)
        if self.locked is not None and draft.effective_date <= self.locked:
            codes.append(RejectionCode.PERIOD_LOCKED)
        return Rejected(tuple(Reason(code, "no") for code in codes)) if codes else None

    def _append(self, draft: Draft) -> Posted:
        checked = check(draft)[0]
        assert checked is not None
        reverses = draft.sequence if isinstance(draft, ReversalDraft) else None
        nets = tuple((line.account, line.amount) for line in checked.lines)
        if reverses is not None:
            nets = tuple((account, -amount) for account, amount in self.entries[reverses - 1].nets)
        sequence = len(self.entries) + 1
        day, key = draft.effective_date, draft.idempotency_key
        words = checked.description
        self.entries.append(Entry(sequence, draft.origin, key, day, checked.body_hash, words, nets, reverses))
        return Posted(LEDGER, sequence, False)

    def reversals(self) -> dict[int, Entry]:
        return {entry.reverses: entry for entry in self.entries if entry.reverses is not None}

    def reverse_by_hand(self, sequence: int, on: date = date.min) -> None:
        entry = self.entries[sequence - 1]
        day = max(entry.day, on, (self.locked or date.min) + timedelta(days=1) if self.locked else entry.day)
        by_hand = ReversalDraft(
            ledger=LEDGER,
            idempotency_key=f"hand {sequence}",
            sequence=sequence,
            effective_date=day,
            posted_by="someone",
        )
        self.post([by_hand])

    def nets(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for entry in self.entries:
            for account, amount in entry.nets:
                total[account] += amount
        return Counter({account: net for account, net in total.items() if net})


@dataclass(frozen=True)
class Paper:
    """A document as the test changes it. `parts`: into how many postings its amount goes; `word`: what these are called."""

    name: str
    amount: int
    day: date
    parts: int = 1
    word: str = "part"
    alive: bool = True
    changed_on: date = CUTOVER

    def version(self) -> Version:
        key = Key("billing", "invoice", "", self.name)
        return Version(
            key=key, digest=repr(self).encode(), dated=self.day, ceased_on=self.changed_on, deleted=not self.alive
        )

    def mapping(self, rules: int, policy: Policy = Policy.AUTOMATIC) -> Mapping:
        """What version `rules` of the rules makes of it."""
        if not self.alive or not self.amount:
            return ()
        if self.amount == SPOILED:
            return Unmapped(UnmappedCode.NO_RULE, "It has no rule.", "Add one.")
        target = "nowhere" if self.amount == SPOILED + 1 else f"4{rules:03}"
        return tuple(self._posting(number, rules, policy, target) for number in range(self.parts))

    def _posting(self, number: int, rules: int, policy: Policy, target: str) -> MappedPosting:
        day = self.day + timedelta(days=31 * number)
        lines = (MappedLine("1100", self.amount + number, "USD"), MappedLine(target, -self.amount - number, "USD"))
        return MappedPosting(f"{self.word} {number}", "r", policy, day, self.day, f"{self.name}", None, None, lines)


@dataclass
class World:
    """Books, what is recorded of documents, and the rules; `crash_at`: which step of the next run the process dies before."""

    books: ModelBooks = field(default_factory=ModelBooks)
    recorded: dict[str, Past] = field(default_factory=dict)
    rules: int = 1
    policy: Policy = Policy.AUTOMATIC
    crash_at: int | None = None
    between: Callable[[], None] | None = None

    def step(self) -> None:
        if self.crash_at is not None:
            self.crash_at -= 1
            if self.crash_at < 0:
                self.crash_at = None
                raise Crash

    def look(self, paper: Paper) -> Plan:
        """One document through the pipeline, as the worker takes it."""
        past = copy.deepcopy(self.recorded.get(paper.name, Past()))
        plan = self._advance(paper, past)
        self.step()
        for each in plan.propose:
            past.keep(each.posting)
        for posting in plan.withdrawn:
            past.keep(posting._replace(status=PostingStatus.WITHDRAWN))
        past.digest, past.status, past.ruleset_version = paper.version().digest, plan.status, plan.ruleset_version
        past.touched.clear()
        self.recorded[paper.name] = past
        return plan

    def _advance(self, paper: Paper, past: Past) -> Plan:
        version, chosen = paper.version(), self.rules
        mapping = paper.mapping(chosen, self.policy)
        strays = self._strays(paper, past)
        settling.take_over(version.key, past, strays, self._reversals(), mapping, self._terms(chosen))
        old = past.ruleset_version
        if old and planning.is_unchanged(version, past, paper.mapping(old, self.policy), self._terms(old)):
            chosen, mapping = old, paper.mapping(old, self.policy)
        for _ in range(20):
            terms = self._terms(chosen)
            plan = planning.plan(version, past, mapping, terms)
            self.step()
            if self.between is not None:
                self.between()
            outcomes = self.books.post(plan.drafts())
            self.step()
            verdict = settling.settle(version.key, past, plan, outcomes, self._standings(), self._reversals(), terms)
            if verdict.finding is not None and not verdict.again:
                return planning.refused(past, verdict.finding)
            if not verdict.again and not verdict.locked:
                return plan
        raise AssertionError("it never comes to an end")

    def _terms(self, rules: int) -> Terms:
        return Terms(LEDGER, rules, self.books.locked, {"billing": CUTOVER})

    def _standings(self) -> dict[int, Standing]:
        return {e.sequence: Standing(e.sequence, e.key, e.day, e.body_hash, e.reverses) for e in self.books.entries}

    def _strays(self, paper: Paper, past: Past) -> list[Standing]:
        """Entries of the document that are not recorded."""
        prefix = drafting.document_prefix(paper.version().key)
        known = {s for p in past.postings.values() for s in (p.sequence, p.reversal_sequence)}
        return [
            e for e in self._standings().values() if e.idempotency_key.startswith(prefix) and e.sequence not in known
        ]

    def _reversals(self) -> dict[int, Standing]:
        standings = self._standings()
        return {original: standings[entry.sequence] for original, entry in self.books.reversals().items()}

    def decide(self, name: str, status: PostingStatus) -> None:
        """A person approves or rejects what waits."""
        past = self.recorded[name]
        waiting: list[Posting] = [p for p in past.postings.values() if p.status is PostingStatus.PROPOSED]
        for posting in waiting:
            past.keep(posting._replace(status=status))
