"""Issues: one for each cause and document, tried again with pauses, closed on success, muted or resolved, opened again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from sources.documents import Deletion, Page, Problem
from sources.errors import NotFound
from sources.mirror import issues
from sources.mirror.issues import DocumentIssue, IssueKey
from tests.sources.mirror.kit import Kit, Script

Connection: TypeAlias = "asyncpg.Connection[Any]"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = ("stripe", "invoice", "", "in_1")
TWO = ("bank", "bank_transaction", "DE02", "t1")


@pytest.fixture
async def us(ledgers: Mapping[str, int]) -> int:
    return ledgers["acme-us"]


@pytest.fixture
async def app(database_url: str, us: int) -> AsyncIterator[Connection]:
    """The application at work in acme-us."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"SET ledgergraph.ledgers = '{us}'")
    yield connection
    await connection.close()


def issue(document: issues.Document = ONE, code: str = "NO_RULE", **more: Any) -> DocumentIssue:
    return DocumentIssue(document, code, **{"message": "No rule takes it.", "retried": True, **more})


async def open_issues(owner: Connection) -> list[tuple[str, str]]:
    rows = await owner.fetch("SELECT code, subject FROM mirror.issue WHERE closed_at IS NULL ORDER BY 1, 2")
    return [tuple(row) for row in rows]


async def test_an_issue_counts_its_times_and_waits_longer_each_time(
    app: Connection, us: int, owner: Connection
) -> None:
    pauses = []
    for times in range(1, 12):
        moment = NOW + timedelta(days=times)
        tried = await issues.note_documents(app, us, [issue(hint="Add a rule.", excerpt='{"total": 5}')], moment)
        assert tried[ONE] is not None
        pauses.append((tried[ONE] - moment).total_seconds() / 60)
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    (row,) = await owner.fetch("SELECT * FROM mirror.issue")
    assert (row["times"], row["attempts"], row["subject"]) == (11, 11, "invoice in_1")
    assert (row["first_seen"], row["opened_at"]) == (NOW + timedelta(days=1),) * 2
    assert (row["last_seen"], row["hint"], row["excerpt"]) == (NOW + timedelta(days=11), "Add a rule.", '{"total": 5}')
    assert (row["kind"], row["account"], row["external_id"]) == ("invoice", "", "in_1")


async def test_what_trying_again_cannot_help_is_not_tried_again(app: Connection, us: int, owner: Connection) -> None:
    assert await issues.note_documents(app, us, [issue(), issue(TWO, retried=False)], NOW) == {
        ONE: NOW + timedelta(minutes=2),
        TWO: None,
    }
    assert await issues.note_documents(app, us, [issue(retried=False)], NOW) == {ONE: None}
    assert await issues.note_documents(app, us, [], NOW) == {}
    assert await owner.fetchval("SELECT count(*) FROM mirror.issue WHERE next_attempt_at IS NOT NULL") == 0


async def test_a_document_has_one_open_issue_and_another_cause_takes_its_place(
    app: Connection, us: int, owner: Connection
) -> None:
    await issues.note_documents(app, us, [issue(), issue(TWO)], NOW)
    await issues.note_documents(app, us, [issue(code="MISSING_RATE")], NOW)
    assert await open_issues(owner) == [("MISSING_RATE", "invoice in_1"), ("NO_RULE", "bank_transaction DE02 t1")]
    assert await issues.close_documents(app, us, [ONE], NOW) == 1
    assert await issues.close_documents(app, us, [ONE], NOW) == 0
    assert await issues.close_documents(app, us, [], NOW) == 0
    assert await open_issues(owner) == [("NO_RULE", "bank_transaction DE02 t1")]


async def test_what_is_met_again_after_it_was_closed_begins_anew(app: Connection, us: int, owner: Connection) -> None:
    for _ in range(3):
        await issues.note_documents(app, us, [issue()], NOW)
    await issues.close_documents(app, us, [ONE], NOW)
    later = NOW + timedelta(days=1)
    assert await issues.note_documents(app, us, [issue()], later) == {ONE: later + timedelta(minutes=2)}
    (row,) = await owner.fetch("SELECT * FROM mirror.issue")
    assert (row["attempts"], row["times"], row["first_seen"], row["opened_at"]) == (1, 4, NOW, later)


async def test_a_person_resolves_an_issue_with_a_note_and_it_opens_when_it_is_met_again(
    app: Connection, us: int, owner: Connection
) -> None:
    key = IssueKey("stripe", "NO_RULE", "invoice in_1")
    await issues.note_documents(app, us, [issue()], NOW)
    assert await issues.resolve(app, us, key, "ada", "A rule was added.", NOW) == ONE
    (row,) = await owner.fetch("SELECT * FROM mirror.issue")
    assert (row["resolved_by"], row["note"], row["closed_at"]) == ("ada", "A rule was added.", NOW)
    assert row["next_attempt_at"] is None
    with pytest.raises(NotFound, match="no open issue NO_RULE"):
        await issues.resolve(app, us, key, "ada", None, NOW)
    await issues.note_documents(app, us, [issue()], NOW)
    (row,) = await owner.fetch("SELECT * FROM mirror.issue")
    assert (row["resolved_at"], row["resolved_by"], row["closed_at"]) == (None, None, None)
    assert row["note"] == "A rule was added."


async def test_muting_outlives_closing(app: Connection, us: int, owner: Connection) -> None:
    key, until = IssueKey("stripe", "NO_RULE", "invoice in_1"), NOW + timedelta(days=7)
    with pytest.raises(NotFound):
        await issues.mute(app, us, key, until, None)
    await issues.note_documents(app, us, [issue()], NOW)
    await issues.mute(app, us, key, until, "Known.")
    await issues.close_documents(app, us, [ONE], NOW)
    await issues.note_documents(app, us, [issue()], NOW)
    assert tuple(await owner.fetchrow("SELECT muted_until, note FROM mirror.issue") or ()) == (until, "Known.")
    await issues.mute(app, us, key, None, None)
    assert tuple(await owner.fetchrow("SELECT muted_until, note FROM mirror.issue") or ()) == (None, "Known.")


async def test_documents_of_long_ids_have_issues_of_their_own(app: Connection, us: int, owner: Connection) -> None:
    long = [("bank", "bank_transaction", "A" * 600, f"{'x' * 600}{n}") for n in range(3)]
    await issues.note_documents(app, us, [issue(document) for document in long], NOW)
    subjects = [subject for _, subject in await open_issues(owner)]
    assert len(set(subjects)) == 3
    assert max(map(len, subjects)) <= issues.MAX_SUBJECT
    assert await issues.close_documents(app, us, long[:2], NOW) == 2


async def test_what_cannot_be_stored_is_made_to_fit(app: Connection, us: int, owner: Connection) -> None:
    wild = issue(message="a\x00b\ud800" + "c" * 5000, hint="\x00", excerpt="d" * 5000)
    await issues.note_documents(app, us, [wild], NOW)
    (row,) = await owner.fetch("SELECT * FROM mirror.issue")
    assert row["message"].startswith("a\ufffdb\ufffdc")
    assert len(row["message"]) == len(row["excerpt"]) == 2000


async def test_nobody_touches_an_issue_of_another_ledger(app: Connection, us: int, ledgers: Mapping[str, int]) -> None:
    eu = ledgers["acme-eu"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await issues.note_documents(app, eu, [issue()], NOW)
    await app.execute(f"SET ledgergraph.ledgers = '{eu}'")
    await issues.note_documents(app, eu, [issue()], NOW)
    await app.execute(f"SET ledgergraph.ledgers = '{us}'")
    assert await issues.close_documents(app, eu, [ONE], NOW) == 0
    with pytest.raises(NotFound):
        await issues.resolve(app, eu, IssueKey("stripe", "NO_RULE", "invoice in_1"), "eve", None, NOW)


# ---------------------------------------------------------------- beside the source's own


async def test_no_pull_closes_an_issue_of_a_document(
    app: Connection, us: int, owner: Connection, pull: Callable[..., Any]
) -> None:
    """Not one that reads the document well, not one that lists everything; and it is no problem of the source's."""
    script = Script(
        *Kit.pages(
            [Kit.invoice()], problems=[Problem(subject="file x", code="UNREADABLE_FILE", message="It is cut off.")]
        )
    )
    await pull(Kit.stripe(), script)
    await issues.note_documents(app, us, [issue()], NOW)
    script.pages.append(Page(documents=[Kit.invoice(total=1)], cursor="2", complete=True))
    await pull(Kit.stripe(), script)
    assert await owner.fetchval("SELECT problems FROM mirror.source_state") == 1
    await pull(Kit.stripe(), Script(*Kit.pages([Kit.invoice()]), lists_everything=True))
    assert ("NO_RULE", "invoice in_1") in await open_issues(owner)


async def test_an_open_issue_of_a_document_keeps_no_other_from_being_found_gone(
    app: Connection, us: int, owner: Connection, pull: Callable[..., Any]
) -> None:
    script = Script(*Kit.pages([Kit.invoice("in_1"), Kit.invoice("in_2")]))
    await pull(Kit.stripe(), script)
    await issues.note_documents(app, us, [issue()], NOW)
    script.pages.append(
        Page(documents=(), deletions=[Deletion(kind="invoice", external_id="in_2")], cursor="2", complete=True)
    )
    await pull(Kit.stripe(), script)
    assert await owner.fetchval("SELECT array_agg(external_id) FROM mirror.invoice WHERE deleted_at IS NULL") == [
        "in_1"
    ]


async def test_a_sources_own_issue_is_resolved_and_opens_again(
    app: Connection, us: int, owner: Connection, pull: Callable[..., Any]
) -> None:
    problem = Problem(subject="file x", code="UNREADABLE_FILE", message="It is cut off.")
    script = Script(*Kit.pages([], problems=[problem]), lists_everything=True)
    await pull(Kit.stripe(), script)
    assert await issues.resolve(app, us, IssueKey("stripe", "UNREADABLE_FILE", "file x"), "ada", None, NOW) is None
    assert await open_issues(owner) == []
    await pull(Kit.stripe(), script)
    assert await open_issues(owner) == [("UNREADABLE_FILE", "file x")]
