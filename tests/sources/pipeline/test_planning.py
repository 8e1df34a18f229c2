"""What is planned for a document: each rule by itself, and random lives with crashes against what the rules say."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sources.ledger.rules import MAX_LINES
from sources.mapping.model import MappedLine, Policy
from sources.pipeline import drafting
from sources.pipeline.model import DocumentStatus, Key, Posting, PostingStatus
from tests.sources.pipeline.model_books import CUTOVER, LEDGER, SPOILED, Crash, Paper, World

DAY = date(2026, 3, 10)
PAPER = Paper("in_1", 100, DAY)


def entries(world: World) -> list[tuple[date, int | None, int]]:
    """(date, what it reverses, amount on 1100) of each entry."""
    return [(entry.day, entry.reverses, dict(entry.nets)["1100"]) for entry in world.books.entries]


def test_a_change_reverses_at_the_original_date_and_posts_anew() -> None:
    world = World()
    world.look(PAPER)
    plan = world.look(replace(PAPER, amount=70, day=DAY + timedelta(days=3)))
    assert entries(world) == [(DAY, None, 100), (DAY, 1, -100), (DAY + timedelta(days=3), None, 70)]
    assert plan.status is DocumentStatus.POSTED


def test_an_unchanged_outcome_posts_nothing_and_rules_that_change_change_nothing() -> None:
    world = World()
    world.look(PAPER)
    world.look(PAPER)
    world.rules = 2
    world.look(replace(PAPER, changed_on=DAY))
    assert entries(world) == [(DAY, None, 100)]
    world.look(replace(PAPER, amount=70))
    assert world.books.nets() == Counter({"1100": 70, "4002": -70})


@pytest.mark.parametrize(
    ("on", "expected"), [(DAY + timedelta(days=30), DAY + timedelta(days=30)), (DAY - timedelta(days=30), DAY)]
)
def test_a_void_reverses_when_it_was_voided_and_never_before_the_original(on: date, expected: date) -> None:
    world = World()
    world.look(PAPER)
    assert world.look(replace(PAPER, alive=False, changed_on=on)).status is DocumentStatus.NOTHING
    assert entries(world)[1:] == [(expected, 1, -100)]
    assert world.look(PAPER).status is DocumentStatus.POSTED
    assert world.books.nets()["1100"] == 100


VOIDED_ON = DAY + timedelta(days=30)


@pytest.mark.parametrize(
    ("own", "expected", "words"),
    [
        (DAY, VOIDED_ON, " (of 2026-03-10; dated 2026-04-09, as the books held it until then)"),
        (VOIDED_ON + timedelta(days=9), VOIDED_ON + timedelta(days=9), ""),
    ],
)
def test_what_comes_back_is_dated_when_the_books_ceased_to_hold_it(own: date, expected: date, words: str) -> None:
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, alive=False, changed_on=VOIDED_ON))
    world.look(replace(PAPER, day=own))
    assert entries(world)[1:] == [(VOIDED_ON, 1, -100), (expected, None, 100)]
    assert world.books.entries[-1].description == f"in_1{words}"
    world.look(replace(PAPER, day=own, amount=70))
    assert entries(world)[3:] == [(expected, 3, -100), (expected, None, 70)]


def test_what_comes_back_after_a_reversal_on_its_own_day_is_dated_on_that() -> None:
    """What was restated, and what files that are read again leave out (they are gone since the year 1)."""
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, amount=70))
    world.look(replace(PAPER, alive=False, changed_on=date.min))
    world.look(PAPER)
    assert {day for day, _, _ in entries(world)} == {DAY}


def test_of_postings_of_several_days_those_that_were_not_held_yet_keep_theirs() -> None:
    world, later = World(), DAY + timedelta(days=31)
    world.look(replace(PAPER, parts=2))
    world.look(replace(PAPER, parts=2, alive=False, changed_on=DAY + timedelta(days=5)))
    world.look(replace(PAPER, parts=2))
    back = DAY + timedelta(days=5)
    assert entries(world)[2:] == [(back, 1, -100), (later, 2, -101), (back, None, 100), (later, None, 101)]


def test_what_comes_back_into_a_locked_period_is_dated_on_the_first_open_day() -> None:
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, alive=False, changed_on=VOIDED_ON))
    world.books.locked = date(2026, 4, 30)
    world.look(PAPER)
    assert entries(world)[2] == (date(2026, 5, 1), None, 100)
    assert world.books.entries[-1].description.endswith(" (of 2026-03-10; dated 2026-05-01, as that period is locked)")


def test_what_was_moved_out_of_a_locked_period_does_not_stand_twice_once_that_is_open() -> None:
    world = World()
    world.look(PAPER)
    world.books.locked = date(2026, 3, 31)
    world.look(replace(PAPER, amount=70))
    world.books.locked = None
    world.look(replace(PAPER, amount=50))
    moved = date(2026, 4, 1)
    assert entries(world)[1:] == [(moved, 1, -100), (moved, None, 70), (moved, 3, -70), (moved, None, 50)]


def test_what_a_person_reversed_later_comes_back_on_that_day() -> None:
    world = World()
    world.look(PAPER)
    world.books.reverse_by_hand(1, VOIDED_ON)
    world.look(replace(PAPER, amount=70))
    assert entries(world)[1:] == [(VOIDED_ON, 1, -100), (VOIDED_ON, None, 70)]


def test_an_entry_that_came_back_and_was_left_by_a_crash_stands() -> None:
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, alive=False, changed_on=VOIDED_ON))
    world.crash_at = 2
    with pytest.raises(Crash):
        world.look(PAPER)
    assert world.look(PAPER).status is DocumentStatus.POSTED
    assert world.look(PAPER).drafts() == []
    assert [amount for _, _, amount in entries(world)] == [100, -100, 100]


def test_what_comes_back_under_another_name_is_not_dated_before_that() -> None:
    """Rules may call a posting otherwise since."""
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, alive=False, changed_on=VOIDED_ON))
    world.look(replace(PAPER, word="line"))
    assert entries(world)[2] == (VOIDED_ON, None, 100)
    world.look(replace(PAPER, word="line", amount=70))
    assert entries(world)[3:] == [(VOIDED_ON, 3, -100), (VOIDED_ON, None, 70)]


def test_a_proposal_of_what_comes_back_is_of_the_day_that_its_entry_gets() -> None:
    world = World()
    world.look(PAPER)
    world.look(replace(PAPER, alive=False, changed_on=VOIDED_ON))
    world.policy = Policy.PROPOSED
    again = replace(PAPER, word="line")
    (made,) = world.look(again).propose
    world.decide("in_1", PostingStatus.APPROVED)
    world.look(again)
    assert made.draft.effective_date == VOIDED_ON
    assert entries(world)[2] == (VOIDED_ON, None, 100)


def test_what_is_called_for_no_more_moves_nothing_that_was_there_before_it_went() -> None:
    world, later = World(), DAY + timedelta(days=31)
    world.look(replace(PAPER, parts=2))
    world.books.reverse_by_hand(2, later + timedelta(days=9))
    world.look(PAPER)
    world.look(replace(PAPER, amount=70))
    assert entries(world)[3:] == [(DAY, 1, -100), (DAY, None, 70)]


def test_in_a_locked_period_both_move_to_the_first_open_day_and_say_so() -> None:
    world = World()
    world.look(PAPER)
    world.books.locked = date(2026, 3, 31)
    world.look(replace(PAPER, amount=70))
    assert entries(world)[1:] == [(date(2026, 4, 1), 1, -100), (date(2026, 4, 1), None, 70)]
    for entry in world.books.entries[1:]:
        assert entry.description.endswith(" (of 2026-03-10; dated 2026-04-01, as that period is locked)")


def test_what_is_locked_meanwhile_is_planned_anew() -> None:
    world = World()
    world.between = lambda: setattr(world.books, "locked", date(2026, 3, 31))
    assert world.look(PAPER).status is DocumentStatus.POSTED
    assert entries(world) == [(date(2026, 4, 1), None, 100)]


def test_before_cut_over_nothing_posts_but_what_comes_later() -> None:
    world = World()
    early = replace(PAPER, day=CUTOVER - timedelta(days=1))
    assert world.look(early).status is DocumentStatus.BEFORE_CUTOVER
    assert world.look(replace(early, amount=SPOILED)).status is DocumentStatus.BEFORE_CUTOVER
    assert not world.books.entries
    assert world.look(replace(early, parts=2)).status is DocumentStatus.POSTED
    assert entries(world) == [(CUTOVER + timedelta(days=30), None, 101)]


def test_what_cannot_be_posted_leaves_what_stands() -> None:
    world = World()
    world.look(PAPER)
    for amount, code in ((SPOILED, "NO_RULE"), (SPOILED + 1, "UNKNOWN_ACCOUNT")):
        plan = world.look(replace(PAPER, amount=amount))
        assert plan.status is DocumentStatus.ISSUE
        assert plan.finding is not None
        assert plan.finding.code == code
    assert entries(world) == [(DAY, None, 100)]
    assert world.look(PAPER).status is DocumentStatus.POSTED
    assert len(world.books.entries) == 1


def test_a_conflict_means_that_a_crash_left_an_entry_unrecorded() -> None:
    world = World(crash_at=2)
    with pytest.raises(Crash):
        world.look(PAPER)
    assert len(world.books.entries) == 1
    world.look(replace(PAPER, amount=70))
    assert [amount for _, _, amount in entries(world)] == [100, -100, 70]


def test_an_entry_left_by_a_crash_stands_although_its_period_was_locked_since() -> None:
    world = World(crash_at=2)
    with pytest.raises(Crash):
        world.look(PAPER)
    world.books.locked = date(2026, 3, 31)
    assert world.look(PAPER).status is DocumentStatus.POSTED
    assert entries(world) == [(DAY, None, 100)]
    assert world.look(PAPER).drafts() == []


def test_entries_left_by_a_crash_are_reversed_when_the_document_is_as_before_again() -> None:
    world = World()
    world.look(PAPER)
    world.crash_at = 2
    with pytest.raises(Crash):
        world.look(replace(PAPER, amount=70, parts=2))
    world.look(PAPER)
    assert world.books.nets()["1100"] == 100


def test_an_entry_that_a_person_reversed_is_replaced_by_the_next_version() -> None:
    world = World()
    world.look(PAPER)
    world.books.reverse_by_hand(1)
    world.look(replace(PAPER, amount=70))
    assert [amount for _, _, amount in entries(world)] == [100, -100, 70]


def test_an_entry_that_stands_again_is_reversed_by_what_restored_it() -> None:
    world = World()
    world.look(PAPER)
    for sequence in (1, 2):
        world.books.reverse_by_hand(sequence)
    world.look(replace(PAPER, amount=70))
    assert [(reverses, amount) for _, reverses, amount in entries(world)][2:] == [(2, 100), (3, -100), (None, 70)]
    assert world.books.nets()["1100"] == 70


def test_what_is_restored_between_planning_and_posting_does_not_stand_twice() -> None:
    world, left = World(), [(1, 2), (3, 4)]
    world.look(PAPER)

    def restore() -> None:
        for sequence in left.pop(0) if left else ():
            world.books.reverse_by_hand(sequence)

    world.between = restore
    world.look(replace(PAPER, amount=70))
    assert [reverses for _, reverses, _ in entries(world)] == [None, 1, 2, 3, 4, 5, None]
    assert world.books.nets()["1100"] == 70


def test_a_proposal_waits_for_approval_and_a_newer_version_takes_its_place() -> None:
    world = World(policy=Policy.PROPOSED)
    assert world.look(PAPER).status is DocumentStatus.PROPOSED
    assert world.look(PAPER).status is DocumentStatus.PROPOSED
    assert [p.number for p in world.recorded["in_1"].postings.values()] == [1]
    newer = replace(PAPER, amount=70)
    world.look(newer)
    assert [p.status.value for p in world.recorded["in_1"].postings.values()] == ["WITHDRAWN", "PROPOSED"]
    world.decide("in_1", PostingStatus.APPROVED)
    assert world.look(newer).status is DocumentStatus.POSTED
    assert entries(world) == [(DAY, None, 70)]


def test_what_was_rejected_is_not_proposed_again() -> None:
    world = World(policy=Policy.PROPOSED)
    world.look(PAPER)
    world.decide("in_1", PostingStatus.REJECTED)
    assert world.look(PAPER).status is DocumentStatus.NOTHING
    assert world.look(PAPER).propose == []
    assert world.look(replace(PAPER, amount=70)).status is DocumentStatus.PROPOSED


def test_an_entry_stands_until_its_replacement_is_approved() -> None:
    world = World()
    world.look(PAPER)
    world.policy = Policy.PROPOSED
    newer = replace(PAPER, amount=70)
    world.look(newer)
    assert entries(world) == [(DAY, None, 100)]
    world.decide("in_1", PostingStatus.APPROVED)
    world.look(newer)
    assert [amount for _, _, amount in entries(world)] == [100, -100, 70]


def test_keys_of_different_documents_differ_and_fit() -> None:
    posting = Posting("a", 1, 1, bytes(32), PostingStatus.POSTED, "r", 1, DAY)
    one = drafting.entry_key(Key("s", "bank_transaction", "a", "b:c"), posting)
    other = drafting.entry_key(Key("s", "bank_transaction", "a:b", "c"), posting)
    assert one == "doc:s:bank_transaction:a:b%3Ac:a:1.1"
    assert one != other
    long = [drafting.entry_key(Key("s", "invoice", "", "x" * 900 + end), posting) for end in "ab"]
    assert long[0] != long[1]
    assert all(len(key + drafting.REVERSED) <= 255 for key in long)


@pytest.mark.parametrize(
    ("line", "stated"),
    [
        (MappedLine("a", 105, "USD"), ("1.05", None, None)),
        (MappedLine("a", -105, "USD"), (None, "1.05", None)),
        (MappedLine("a", 105, "JPY", 70), ("105", None, "0.70")),
        (MappedLine("a", -105, "JPY", -70), (None, "105", "0.70")),
        (MappedLine("a", 0, "JPY", -1), (None, "0", "0.01")),
    ],
)
def test_lines_are_stated_on_their_side(line: MappedLine, stated: tuple[str | None, ...]) -> None:
    draft = drafting.line_draft(line, LEDGER.functional_currency)
    assert (draft.debit, draft.credit, draft.functional_amount) == stated


NAMES = st.sampled_from(["a", "b"])
AMOUNTS = st.sampled_from([0, 5, 7, 7, 9, SPOILED, SPOILED + 1])
DAYS = st.integers(-40, 120).map(lambda days: CUTOVER + timedelta(days=days))


class Lives(RuleBasedStateMachine):
    """Documents that come, change, go and come back; periods that are locked and opened; rules that change; crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.papers: dict[str, Paper] = {}
        self.versions: dict[str, list[Paper]] = {}

    @rule(name=NAMES, amount=AMOUNTS, day=DAYS, parts=st.integers(1, 3), alive=st.integers(0, 3), on=DAYS)
    def change(self, name: str, amount: int, day: date, parts: int, alive: int, on: date) -> None:
        self.papers[name] = Paper(name, amount, day, parts, alive=alive > 0, changed_on=on)
        self.versions.setdefault(name, []).append(self.papers[name])

    @rule(name=NAMES, before=st.integers(1, 4))
    def go_back(self, name: str, before: int) -> None:
        """To how it was some changes ago."""
        versions = self.versions.get(name, [])
        if len(versions) > before:
            self.papers[name] = versions[-1 - before]
            versions.append(self.papers[name])

    @rule(name=NAMES)
    def look(self, name: str) -> None:
        if name in self.papers:
            self.world.crash_at = None
            self.world.look(self.papers[name])

    @rule(name=NAMES, at=st.integers(0, 6))
    def crash(self, name: str, at: int) -> None:
        if name in self.papers:
            self.world.crash_at = at
            try:
                self.world.look(self.papers[name])
            except Crash:
                return

    @rule(through=st.one_of(st.none(), DAYS))
    def lock(self, through: date | None) -> None:
        self.world.books.locked = through

    @rule()
    def change_rules(self) -> None:
        self.world.rules += 1

    @rule(policy=st.sampled_from(Policy))
    def set_policy(self, policy: Policy) -> None:
        self.world.policy = policy

    @rule(name=NAMES, status=st.sampled_from([PostingStatus.APPROVED, PostingStatus.REJECTED]))
    def decide(self, name: str, status: PostingStatus) -> None:
        if name in self.world.recorded:
            self.world.decide(name, status)

    @rule(name=NAMES)
    def repost(self, name: str) -> None:
        if name in self.world.recorded:
            past = self.world.recorded[name]
            past.generation, past.digest, past.ruleset_version = past.generation + 1, None, None

    @invariant()
    def entries_are_reversed_at_most_once(self) -> None:
        reversed_ones = [entry.reverses for entry in self.world.books.entries if entry.reverses]
        assert len(reversed_ones) == len(set(reversed_ones))

    @invariant()
    def on_each_day_a_posting_is_held_once(self) -> None:
        undone = self.world.books.reversals()
        held: dict[str, list[tuple[date, date]]] = defaultdict(list)
        for entry in self.world.books.entries:
            if entry.reverses is None:
                until = undone[entry.sequence].day if entry.sequence in undone else date.max
                held[entry.key.rsplit(":", 1)[0]] += [(entry.day, until)] if until > entry.day else []
        for spans in held.values():
            assert all(until <= since for (_, until), (since, _) in pairwise(sorted(spans)))

    def teardown(self) -> None:
        """What is looked at once more, without a crash and without waiting for anybody, is what the rules say."""
        world, expected = self.world, Counter[str]()
        world.policy, world.crash_at = Policy.AUTOMATIC, None
        for name, paper in self.papers.items():
            fixed = paper if paper.amount not in (SPOILED, SPOILED + 1) else replace(paper, amount=3)
            world.look(fixed)
            if name in world.recorded:
                past = world.recorded[name]
                past.generation, past.digest, past.ruleset_version = past.generation + 1, None, None
            plan = world.look(fixed)
            assert plan.status is not DocumentStatus.ISSUE
            for mapped in fixed.mapping(world.rules):  # type: ignore[union-attr]
                if mapped.effective_date >= CUTOVER and not self._refused(name, mapped.name, mapped.outcome()):
                    expected.update({line.account: line.amount for line in mapped.lines})
            assert world.look(fixed).drafts() == []
        assert len(world.books.entries) < MAX_LINES
        assert world.books.nets() == Counter({account: net for account, net in expected.items() if net})
        self._every_entry_has_its_document()

    def _refused(self, name: str, posting: str, outcome: bytes) -> bool:
        waiting = self.world.recorded[name].waiting(posting)
        return waiting is not None and waiting.outcome == outcome

    def _every_entry_has_its_document(self) -> None:
        known = [p for past in self.world.recorded.values() for p in past.postings.values()]
        sequences = [s for p in known for s in (p.sequence, p.reversal_sequence) if s is not None]
        assert sorted(sequences) == [entry.sequence for entry in self.world.books.entries]


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=400, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
