"""Records that could not be read are asked for again, with pauses, by connectors that give what changed alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg
import pytest

from sources.documents import Deletion, Page, Problem
from sources.errors import SourceUnavailable
from sources.mirror import rereading
from tests.sources.mirror.kit import Kit, Script

Pull = Callable[..., Awaitable[Any]]
Connection: TypeAlias = "asyncpg.Connection[Any]"


def problem(name: str = "in_1", code: str = "UNREADABLE_RECORD", again: str | None = "in_1") -> Problem:
    return Problem(subject=f"invoice {name}", code=code, message="It has no total.", again=again)


class Asked(Script):
    """`answers`: what each asking again is answered with, in order, an exception or a page; the last one stays."""

    def __init__(self, *pages: Page, answers: Sequence[Page | Exception]) -> None:
        super().__init__(*pages)
        self.answers = list(answers)
        self.asked: list[tuple[str | None, list[str | None]]] = []

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        self.asked.append((cursor, [each.again for each in problems]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def hurry(owner: Connection) -> None:
    await owner.execute("UPDATE mirror.issue SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")


async def states(owner: Connection) -> dict[str, tuple[bool, int, float | None]]:
    """By subject: whether it is open, its attempts, and the minutes between its last one and the next."""
    rows = await owner.fetch(
        """SELECT subject, closed_at IS NULL, attempts, extract(epoch FROM next_attempt_at - greatest(last_seen, (
            SELECT max(started_at) FROM mirror.sync_run))) / 60 FROM mirror.issue"""
    )
    return {row[0]: (row[1], row[2], None if row[3] is None else round(float(row[3]))) for row in rows}


async def cursor(owner: Connection) -> str:
    return str(await owner.fetchval("SELECT cursor FROM mirror.source_state"))


def first(*problems: Problem) -> Page:
    return Page(documents=[Kit.invoice("in_0")], problems=problems, cursor="1", complete=True)


async def test_one_that_is_read_at_last_is_held_and_its_issue_closes(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    again = [Page(documents=(), problems=[problem()], cursor="1"), Page(documents=[Kit.invoice("in_1")], cursor="1")]
    source = Asked(first(problem()), answers=again)
    await pull(Kit.stripe(), source)
    assert await states(owner) == {"invoice in_1": (True, 1, 2)}
    await pull(Kit.stripe(), source)
    assert source.asked == []  # its pause is not over
    await hurry(owner)
    await pull(Kit.stripe(), source)
    assert await states(owner) == {"invoice in_1": (True, 2, 4)}
    await hurry(owner)
    await pull(Kit.stripe(), source)
    assert await states(owner) == {"invoice in_1": (False, 2, None)}
    assert source.asked == [("1", ["in_1"])] * 2
    assert await owner.fetchval("SELECT count(*) FROM mirror.invoice") == 2
    await pull(Kit.stripe(), source)
    assert len(source.asked) == 2


async def test_one_that_is_gone_is_no_problem_any_more(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    """Also one of which no document is made: what the answer does not name is well."""
    source = Asked(first(problem(), problem("txn_2", again="t2")), answers=[Page(documents=(), cursor="1")])
    await pull(Kit.stripe(), source)
    await hurry(owner)
    await pull(Kit.stripe(), source)
    assert {subject: state[0] for subject, state in (await states(owner)).items()} == {
        "invoice in_1": False,
        "invoice txn_2": False,
    }


async def test_a_deletion_closes_the_issue_of_a_record_that_could_not_be_read(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    gone = Page(documents=(), deletions=[Deletion(kind="invoice", external_id="in_1")], cursor="2", complete=True)
    source = Script(first(problem(again=None)))
    await pull(Kit.stripe(), source)
    assert (await states(owner))["invoice in_1"][0]
    source.pages.append(gone)
    await pull(Kit.stripe(), source)
    assert await states(owner) == {"invoice in_1": (False, 0, None)}


@pytest.mark.parametrize("failure", [SourceUnavailable("It is down."), RuntimeError("of the connector")])
async def test_a_source_that_fails_at_it_was_read_all_the_same(
    failure: Exception, pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    source = Asked(first(problem()), answers=[failure])
    await pull(Kit.stripe(), source)
    for minutes in (4, 8, 16):
        await hurry(owner)
        told = await pull(Kit.stripe(), source)
        assert (told.stale, told.error) == (False, None)
        assert (await states(owner))["invoice in_1"][2] == minutes


async def test_one_that_hangs_is_left_alone_in_time(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Asked):
        async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(rereading, "SECONDS", 0.05)
    source = Hanging(first(problem()), answers=[])
    await pull(Kit.stripe(), source)
    await hurry(owner)
    assert (await pull(Kit.stripe(), source)).error is None
    assert (await states(owner))["invoice in_1"] == (True, 2, 4)


async def test_what_cannot_be_asked_for_and_what_a_person_closed_is_not_asked_for(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    source = Asked(first(problem("nameless", again=None), problem()), answers=[Page(documents=(), cursor="1")])
    await pull(Kit.stripe(), source)
    await hurry(owner)
    await owner.execute(
        "UPDATE mirror.issue SET closed_at = now(), resolved_at = now(), resolved_by = 'ada' WHERE again = 'in_1'"
    )
    await pull(Kit.stripe(), source)
    assert source.asked == []


async def test_at_most_so_many_in_one_pull_those_that_wait_longest_first(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "AT_ONCE", 2)
    names = [f"in_{number}" for number in range(1, 6)]
    source = Asked(first(*[problem(each, again=each) for each in names]), answers=[Page(documents=(), cursor="1")])
    await pull(Kit.stripe(), source)
    await hurry(owner)
    for _ in range(4):
        await pull(Kit.stripe(), source)
    assert [len(asked) for _, asked in source.asked] == [2, 2, 1]
    assert sorted(str(each) for _, asked in source.asked for each in asked) == names


async def test_asking_again_moves_the_cursor_only_where_the_connector_says_so(
    pull: Pull, owner: Connection, ledgers: Mapping[str, int]
) -> None:
    """And goes on from the last page, also when that states nothing."""
    again = Page(documents=[Kit.invoice("in_1")], cursor="1b")
    source = Asked(first(problem()), answers=[again])
    await pull(Kit.stripe(), source)
    await hurry(owner)
    source.pages.append(Page(documents=(), cursor="2", complete=True))
    await pull(Kit.stripe(), source)
    assert source.asked == [("2", ["in_1"])]
    assert await cursor(owner) == "1b"
