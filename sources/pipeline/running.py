"""One batch of documents: mapped, planned and posted, and planned anew where the books turn out to hold something else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from sources.ledger.posting import Poster
from sources.mapping.compiled import RuleSet
from sources.mapping.evaluate import map_document
from sources.mapping.facts import facts_of
from sources.mapping.matching_bills import DEFAULT_TOLERANCE, Tolerance
from sources.mapping.model import Mapping as Mapped
from sources.mapping.model import Unmapped, UnmappedCode
from sources.mapping.payloads import Unread
from sources.pieces import in_pieces
from sources.pipeline import by_hand, holds, planning, settling, taking
from sources.pipeline.model import DocumentStatus, Finding, Plan, Terms
from sources.pipeline.posting import post
from sources.pipeline.recording import FAILED_CODE, Done
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.taking import Batch, Books, Work

if TYPE_CHECKING:
    from sources.database.pool import Connection

ROUNDS: Final = 8
"""How often a document is planned within a run."""
_FAILED_HINT: Final = (
    "The log of the process says more; correct the rules or the document. It is tried again by itself."
)
_LOCKED_THROUGH: Final = "SELECT locked_through FROM ledger.ledger WHERE ledger_id = $1"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Case:
    """One document of a run: what is called for, and by which version of the rules. `settled`: it is as it was dealt with.
    `lacks_rate`: there is a rate that mapping it asked for in vain; `unread`: it asked for the payload, which is not loaded."""

    work: Work
    mapping: Mapped = ()
    version: int = 0
    settled: bool = False
    finding: Finding | None = None
    done: Done | None = None
    lacks_rate: bool = False
    tolerance: Tolerance = DEFAULT_TOLERANCE
    unread: bool = False


class Run:
    """One batch of a ledger under its claim. `version`: of the active rules."""

    def __init__(
        self, book: RuleBook, poster: Poster, connection: Connection, books: Books, version: int, batch: Batch
    ) -> None:
        self._book = book
        self._poster = poster
        self._connection = connection
        self._books = books
        self._version = version
        self._batch = batch
        self._locked = books.locked_through

    async def go(self) -> list[Done]:
        """Maps, plans and posts; what is left is to record it. Nothing, where the active rules cannot be read: the documents
        wait. Raises Unavailable."""
        rules = await self._rules()
        if self._version not in rules:
            return []
        cases = [self._case(work, rules) async for work in in_pieces(self._batch.work)]
        cases = await self._with_all_it_takes(cases, rules)
        for work in self._batch.work:
            if work.past.live():
                holds.claim(work, self._batch)
        open_cases: Sequence[_Case] = cases
        for _ in range(ROUNDS):
            open_cases = await self._round(open_cases)
            if not open_cases:
                break
        for case in open_cases:
            assert case.done is not None
            case.done.unfinished = True
        done = [case.done for case in cases if case.done is not None]
        await self._see_hands(done)
        return done

    async def _see_hands(self, done: Sequence[Done]) -> None:
        seen_before = [each.work for each in done if each.work.past.status is not None or each.work.strays]
        pasts = {work.key: work.past for work in seen_before}
        findings, over = await by_hand.look(self._connection, self._books.ledger.ledger_id, pasts)
        for each in done:
            each.by_hand, each.over = findings.get(each.work.key), each.work.key in over

    async def _rules(self) -> Mapping[int, RuleSet]:
        followed = {work.past.ruleset_version for work in self._batch.work} - {None}
        wanted = {self._version, *(version for version in followed if version is not None)}
        return await self._book.versions(self._connection, self._books.ledger.ledger_id, wanted)

    # ---------------------------------------------------------------- mapping

    async def _with_all_it_takes(self, cases: list[_Case], rules: Mapping[int, RuleSet]) -> list[_Case]:
        """The cases, mapped anew while rules ask for payloads that were not loaded, and while the books hold rates of days that
        the documents do not name, but rules compute. Without those that changed meanwhile."""
        missed: set[tuple[str, date]] = set()
        while True:
            if unread := [case.work for case in cases if case.unread]:
                self._batch.reached.update(work.document.row["status"] for work in unread if work.document.row)
                changed = await taking.read_payloads(self._connection, self._books, unread)
                cases = [case for case in cases if case.work.key not in changed]
            elif not self._batch.rates.missed <= missed:
                missed |= self._batch.rates.missed
                found = [work.document for work in self._batch.work]
                functional = self._books.ledger.functional_currency
                self._batch.rates = await taking.read_rates(self._connection, found, functional, missed)
            else:
                return cases
            cases = [self._case(case.work, rules) if case.unread or case.lacks_rate else case for case in cases]

    def _case(self, work: Work, rules: Mapping[int, RuleSet]) -> _Case:
        """What the document calls for: by the rules that its entries follow, if it still calls for just those, else by the
        active ones."""
        case = _Case(work, version=self._version)
        if not work.strays and planning.is_settled(work.document.version, work.past, self._version):
            case.settled = True
            return case
        try:
            case.mapping = self._map(work, rules[self._version])
            case.lacks_rate = _lacks_rate(case.mapping)
            if work.strays:
                terms = self._terms(self._version)
                settling.take_over(work.key, work.past, work.strays, work.reversals, case.mapping, terms)
            followed = work.past.ruleset_version
            if followed is not None and followed in rules and followed != self._version and work.past.live():
                before = self._map(work, rules[followed])
                case.lacks_rate |= _lacks_rate(before)
                if planning.is_unchanged(work.document.version, work.past, before, self._terms(followed)):
                    case.mapping, case.version = before, followed
            case.tolerance = rules[case.version].tolerance
        except Unread:
            case.unread = True
        except Exception as fault:
            _log.exception("the %s %s of %s could not be mapped", work.key.kind, work.key.external_id, work.key.source)
            case.finding = Finding(FAILED_CODE, f"Mapping it failed: {type(fault).__name__}.", _FAILED_HINT)
        return case

    def _map(self, work: Work, rules: RuleSet) -> Mapped:
        document = work.document
        if document.version.deleted or document.row is None:
            return ()
        facts = facts_of(work.key.kind, document.row)
        return map_document(rules, facts, self._batch.rates, self._books.ledger.functional_currency)

    def _terms(self, version: int) -> Terms:
        return Terms(self._books.ledger, version, self._locked, self._books.cutovers)

    # ---------------------------------------------------------------- posting

    async def _round(self, cases: Sequence[_Case]) -> list[_Case]:
        """Plans and posts; answers with the cases that have to be planned anew."""
        plans = [self._plan(case) async for case in in_pieces(cases)]
        outcomes = await post(self._poster, plans)
        looked_up = [
            pair for plan, mine in zip(plans, outcomes, strict=True) for pair in settling.to_look_up(plan.steps(), mine)
        ]
        entries, reversals = await self._look_up(looked_up)
        again = []
        async for case, plan, mine in in_pieces(zip(cases, plans, outcomes, strict=True)):
            work, terms = case.work, self._terms(case.version)
            verdict = settling.settle(work.key, work.past, plan, mine, entries, reversals, terms)
            is_refused = verdict.finding is not None and not verdict.again
            final = planning.refused(work.past, verdict.finding) if is_refused and verdict.finding else plan
            entries_before = case.done.entries if case.done else {}
            case.done = Done(work, final, {**entries_before, **{sequence: step for step, sequence in verdict.posted}})
            if verdict.again or (verdict.locked and verdict.finding is None):
                again.append(case)
        if again:
            self._locked = await self._connection.fetchval(_LOCKED_THROUGH, self._books.ledger.ledger_id)
        return again

    async def _look_up(
        self, wanted: Iterable[tuple[int | None, int | None]]
    ) -> tuple[dict[int, settling.Standing], dict[int, settling.Standing]]:
        pairs = list(wanted)
        if not pairs:
            return {}, {}
        sequences = [sequence for sequence, _ in pairs if sequence is not None]
        reversed_ones = [sequence for _, sequence in pairs if sequence is not None]
        ledger_id = self._books.ledger.ledger_id
        return await taking.read_standings(self._connection, ledger_id, sequences, reversed_ones)

    def _plan(self, case: _Case) -> Plan:
        work = case.work
        if case.settled and work.past.status is not None:
            return Plan(work.past.status, work.past.rule, work.past.ruleset_version)
        if case.finding is not None:
            return planning.refused(work.past, case.finding)
        terms = self._terms(case.version)
        duplicate, mismatch = holds.duplicate(work, self._batch), holds.mismatch(work, case.tolerance)
        plan = planning.plan(work.document.version, work.past, case.mapping, terms, duplicate, mismatch)
        if plan.status in (DocumentStatus.POSTED, DocumentStatus.PROPOSED):
            holds.claim(work, self._batch)
        return plan


def _lacks_rate(mapping: Mapped) -> bool:
    return isinstance(mapping, Unmapped) and mapping.code is UnmappedCode.MISSING_RATE
