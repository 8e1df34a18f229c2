"""Refreshing: one pull for all who ask, a deadline, and what is said when a source cannot be read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from sources.database.pool import Database
from sources.documents import Page
from sources.errors import SourceSyncing, SourceUnavailable
from sources.mirror import pulling, state
from sources.mirror.freshness import SourceStatus
from sources.mirror.payslips import AT_ONCE, RUNS_AN_OPERATION
from sources.mirror.refresh import Asking, Refresher

AGE = "UPDATE mirror.source_state SET as_of = as_of - make_interval(secs => $1)"


async def status(refresher: Refresher, db: Database, name: str = "stripe") -> tuple[SourceStatus, str | None]:
    settings = next(each for each in refresher.configured if each.name == name)
    async with db.writer() as connection:
        _, held = await state.read(connection, [settings])
        known = await state.ledger_ids(connection, settings.ledgers)
    return refresher.status(name, held[name], known)


async def test_a_copy_within_its_age_is_not_pulled_again(kit: Any, refresher: Any, owner: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    service = refresher((kit.stripe(max_age=60), script))
    first = (await service.ensure(["stripe"]))["stripe"]
    assert (first.stale, first.error, first.failure) == (False, None, None)
    await owner.execute(AGE, 50)
    again = (await service.ensure(["stripe"]))["stripe"]
    assert again.as_of < first.as_of
    await owner.execute(AGE, 50)
    assert (await service.ensure(["stripe"], 200))["stripe"].stale is False
    assert script.pulls == [None]
    await service.ensure(["stripe"])
    assert script.pulls == [None, "1"]


async def test_all_who_ask_at_the_same_time_share_one_pull(kit: Any, refresher: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    service = refresher((kit.stripe(), script))
    answers = await asyncio.gather(*(service.ensure(["stripe", "stripe"]) for _ in range(50)))
    assert script.pulls == [None]
    assert not any(answer["stripe"].stale for answer in answers)


async def test_max_age_0_is_not_satisfied_by_a_pull_that_began_before(kit: Any, refresher: Any, ledgers: Any) -> None:
    """Whoever asks while a pull goes on shares the one that follows it."""
    script = kit.Script(*kit.pages([kit.invoice()]))
    script.hold()
    service = refresher((kit.stripe(max_age=600), script))
    first = asyncio.create_task(service.ensure(["stripe"], 0))
    await script.reached.wait()
    await asyncio.gather(*(service.ensure(["stripe"], 0, wait=0.001) for _ in range(20)))
    script.release()
    before = (await first)["stripe"]
    while (after := (await service.ensure(["stripe"]))["stripe"]).as_of == before.as_of:
        continue
    assert not after.stale
    assert script.pulls == [None, "1"]
    assert script.most_at_once == 1


async def test_whoever_asks_for_now_gets_a_pull_that_began_after_asking(
    kit: Any, refresher: Any, db: Database, ledgers: Any
) -> None:
    """Many callers at random moments: every answer reflects the source as it was when its caller asked, or later."""
    chance = random.Random(11)
    script = kit.Stating(1)
    service = refresher((kit.stripe(), script))
    await service.ensure(["stripe"], 0)

    async def ask() -> None:
        for _ in range(10):
            await asyncio.sleep(chance.random() * 0.003)
            script.total += 1
            asked = script.total
            answer = (await service.ensure(["stripe"], 0))["stripe"]
            assert not answer.judged(0).stale
            assert await held_total(db) >= asked

    await asyncio.gather(*(ask() for _ in range(12)))
    assert script.most_at_once == 1
    assert len(script.pulls) < 120


async def held_total(db: Database) -> int:
    async with db.snapshot(None) as connection:
        return int(await connection.fetchval("SELECT total FROM mirror.invoice"))


async def test_two_processes_each_get_a_pull_that_began_after_asking(
    kit: Any, database_url: str, db: Database, ledgers: Any
) -> None:
    """While they take turns, too: what the other one read meanwhile will do only if it began late enough."""
    script = kit.Stating(1)
    async with Database(database_url, readers=1, writers=1) as one, Database(database_url, readers=1, writers=1) as two:
        services = [Refresher(each, [(kit.stripe(), script)], deadline=20) for each in (one, two)]

        async def ask(service: Refresher) -> None:
            for _ in range(15):
                script.total += 1
                asked = script.total
                assert not (await service.ensure(["stripe"], 0))["stripe"].stale
                assert await held_total(db) >= asked

        await asyncio.gather(*(ask(service) for service in services * 3))
        assert script.most_at_once == 1
        for service in services:
            await service.close()


async def test_a_pull_that_finds_nothing_takes_four_statements(
    kit: Any, database_url: str, owner: Any, ledgers: Any
) -> None:
    """Lock, look, record, unlock, on a connection that stays; runs of one minute that find nothing share a record."""
    statements: list[str] = []

    class Watched(Database):
        async def connect_direct(self) -> asyncpg.Connection[Any]:
            connection = await super().connect_direct()
            connection.add_query_logger(lambda query: statements.append(query.query.split()[0]))
            return connection

    script = kit.Script(*kit.pages([kit.invoice()]))
    async with Watched(database_url, readers=1, writers=1) as database:
        service = Refresher(database, [(kit.stripe(), script)], deadline=20)
        await service.ensure(["stripe"], 0)
        await service.ensure(["stripe"], 0)
        statements.clear()
        before = await owner.fetchval("SELECT as_of FROM mirror.source_state")
        await service.ensure(["stripe"], 0)
        assert statements == ["SELECT", "SELECT", "WITH", "SELECT"]
        assert await owner.fetchval("SELECT as_of FROM mirror.source_state") > before
        runs = await owner.fetch(
            "SELECT documents, pages, finished_at IS NULL AS open FROM mirror.sync_run ORDER BY run_id"
        )
        assert [tuple(row) for row in runs] == [(1, 1, False), (0, 2, False)]
        script.pages.append(Page(documents=[kit.invoice(total=7)], cursor="2", complete=True))
        await service.ensure(["stripe"], 0)
        assert await owner.fetchval("SELECT count(*) FROM mirror.sync_run") == 3
        await service.close()


async def test_all_that_one_operation_asks_for_is_one_pull(kit: Any, refresher: Any, ledgers: Any) -> None:
    """Also what it asks for while that pull goes on, or after it."""
    script = kit.Script(*kit.pages([kit.invoice()]))
    script.hold()
    service = refresher((kit.stripe(), script))
    asking = Asking()
    first = asyncio.create_task(service.ensure(["stripe"], 0, asking=asking))
    await script.reached.wait()
    second = asyncio.create_task(service.ensure(["stripe"], 0, asking=asking))
    script.release()
    answers = [await first, await second, await service.ensure(["stripe"], 0, asking=asking)]
    assert [answer["stripe"].judged(0).stale for answer in answers] == [False] * 3
    assert script.pulls == [None]


async def test_at_the_deadline_a_held_copy_is_stale_and_the_pull_goes_on(
    kit: Any, refresher: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    service = refresher((kit.stripe(), script), deadline=0.3)
    while (held := (await service.ensure(["stripe"]))["stripe"]).stale:
        continue
    script.hold(1)
    answer = (await service.ensure(["stripe"], 0))["stripe"]
    assert (answer.stale, answer.failure, answer.as_of) == (True, None, held.as_of)
    assert "did not answer within 0.3 s" in answer.error
    began = asyncio.get_running_loop().time()
    script.release()
    while (answer := (await service.ensure(["stripe"], 600))["stripe"]).as_of == held.as_of:
        assert asyncio.get_running_loop().time() < began + 30
    assert script.pulls == [None, "1"]


async def test_an_abandoned_caller_does_not_cancel_the_pull_of_the_others(
    kit: Any, refresher: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    script.hold()
    service = refresher((kit.stripe(), script))
    gone, stays = (asyncio.create_task(service.ensure(["stripe"])) for _ in range(2))
    await script.reached.wait()
    gone.cancel()
    await asyncio.wait([gone])
    script.release()
    assert not (await stays)["stripe"].stale


async def test_a_dead_source_with_a_copy_is_stale_with_its_reason(
    kit: Any, refresher: Any, db: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    service = refresher((kit.stripe(), script))
    held = (await service.ensure(["stripe"]))["stripe"]
    assert await status(service, db) == (SourceStatus.OK, None)
    script.failure = kit.Unavailable("Stripe is not working (status 503); try again later.")
    answer = (await service.ensure(["stripe"], 0))["stripe"]
    assert (answer.stale, answer.as_of, answer.failure) == (True, held.as_of, None)
    assert answer.error == "stripe could not be read: Stripe is not working (status 503); try again later."
    assert await status(service, db) == (SourceStatus.DEGRADED, "Stripe is not working (status 503); try again later.")
    script.failure = None
    assert not (await service.ensure(["stripe"], 0))["stripe"].stale
    assert await status(service, db) == (SourceStatus.OK, None)


async def test_a_dead_source_that_was_never_read_is_a_failure_not_an_empty_answer(
    kit: Any, refresher: Any, db: Any, ledgers: Any
) -> None:
    script = kit.Script()
    script.failure = kit.Unavailable("Stripe could not be reached.")
    service = refresher((kit.stripe(), script))
    answer = (await service.ensure(["stripe"]))["stripe"]
    assert (answer.stale, answer.as_of) == (True, None)
    assert type(answer.failure) is SourceUnavailable
    assert await status(service, db) == (SourceStatus.DOWN, "Stripe could not be reached.")


async def test_a_connectors_own_fault_is_masked(kit: Any, refresher: Any, ledgers: Any) -> None:
    script = kit.Script()
    script.failure = KeyError("sk_live_secret")
    answer = (await refresher((kit.stripe(), script)).ensure(["stripe"]))["stripe"]
    assert answer.error == "stripe could not be read: its answer could not be understood; the log says more."


async def test_a_first_backfill_goes_on_in_the_background(kit: Any, refresher: Any, db: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]))
    script.hold(1)
    service = refresher((kit.stripe(), script), deadline=0.1)
    await service.start()
    await script.reached.wait()
    answer = (await service.ensure(["stripe"]))["stripe"]
    assert isinstance(answer.failure, SourceSyncing)
    assert (await status(service, db))[0] is SourceStatus.SYNCING
    script.release()
    while (await service.ensure(["stripe"]))["stripe"].failure:
        continue
    assert script.pulls == [None]
    assert await status(service, db) == (SourceStatus.OK, None)


async def stored(owner: Any, invoices: int) -> None:
    """A page is asked for while the one before it is stored: until that is done."""
    while await owner.fetchval("SELECT count(*) FROM mirror.invoice") < invoices:
        continue


async def test_a_backfill_that_died_goes_on_where_its_last_page_ended(
    kit: Any, refresher: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")], [kit.invoice("c")]))
    script.hold(2)
    first = refresher((kit.stripe(), script))
    await first.start()
    await script.reached.wait()
    await stored(owner, 2)
    await first.close()
    script.release()
    second = refresher((kit.stripe(), script))
    assert not (await second.ensure(["stripe"]))["stripe"].stale
    assert script.pulls == [None, "2"]
    runs = await owner.fetch("SELECT error FROM mirror.sync_run ORDER BY run_id")
    assert [row[0] for row in runs] == ["The process that ran it ended.", None]
    assert await owner.fetchval("SELECT count(*) FROM mirror.invoice") == 3


async def test_two_processes_never_pull_one_source_at_the_same_time(kit: Any, database_url: str, ledgers: Any) -> None:
    """The second waits, and takes the first's result."""
    script = kit.Script(*kit.pages([kit.invoice()]))
    script.hold()
    async with Database(database_url, readers=1, writers=1) as one, Database(database_url, readers=1, writers=1) as two:
        services = [Refresher(each, [(kit.stripe(), script)], deadline=20) for each in (one, two)]
        asks = [asyncio.create_task(service.ensure(["stripe"])) for service in services]
        await script.reached.wait()
        while not await _waits_for_the_lock(one):
            continue
        script.release()
        answers = [answer["stripe"] for answer in await asyncio.gather(*asks)]
        assert script.pulls == [None]
        assert answers[0].as_of == answers[1].as_of
        await asyncio.gather(*(service.ensure(["stripe"], 0) for service in services))
        assert script.most_at_once == 1
        for service in services:
            await service.close()


async def _waits_for_the_lock(db: Database) -> bool:
    async with db.writer() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            )
        )


async def test_a_waiting_process_takes_a_failure_too(kit: Any, database_url: str, ledgers: Any) -> None:
    script = kit.Script()
    script.hold()
    script.failure = kit.Unavailable("It is closed.")
    async with Database(database_url, readers=1, writers=1) as one, Database(database_url, readers=1, writers=1) as two:
        services = [Refresher(each, [(kit.stripe(), script)], deadline=20) for each in (one, two)]
        asks = [asyncio.create_task(service.ensure(["stripe"])) for service in services]
        await script.reached.wait()
        while not await _waits_for_the_lock(one):
            continue
        script.release()
        answers = [answer["stripe"] for answer in await asyncio.gather(*asks)]
        assert [answer.error for answer in answers] == ["stripe could not be read: It is closed."] * 2
        assert script.pulls == [None]
        for service in services:
            await service.close()


async def test_a_source_without_its_ledger_is_down_until_it_exists(
    kit: Any, refresher: Any, db: Any, create_ledger: Any
) -> None:
    script = kit.Script(*kit.pages([kit.statement("one")]), lists_everything=True)
    await create_ledger("acme-eu", "EUR")
    service = refresher((kit.bank(accounts={"DE1": "acme-late"}), script))
    await service.start()
    reason = (
        "bank feeds the ledger acme-late, which does not exist yet: create it, by createLedger or `ledgergraph import`."
    )
    answer = (await service.ensure(["bank"]))["bank"]
    assert (str(answer.failure), script.pulls) == (reason, [])
    assert await status(service, db, "bank") == (SourceStatus.DOWN, reason)
    await create_ledger("acme-late", "EUR")
    assert not (await service.ensure(["bank"]))["bank"].stale
    assert await status(service, db, "bank") == (SourceStatus.OK, None)


async def test_open_problems_degrade_a_source_that_reads(kit: Any, refresher: Any, db: Any, ledgers: Any) -> None:
    from sources.documents import Problem

    bad = Problem(subject="junk.xml", code="UNREADABLE_FILE", message="It is a cat.")
    script = kit.Script(*kit.pages([kit.statement("one")], problems=[bad]), lists_everything=True)
    service = refresher((kit.bank(), script))
    assert not (await service.ensure(["bank"]))["bank"].stale
    found, reason = await status(service, db, "bank")
    assert found is SourceStatus.DEGRADED
    assert reason.startswith("1 of its files or records")


async def test_one_dead_source_does_not_touch_another(kit: Any, refresher: Any, ledgers: Any) -> None:
    dead, alive = kit.Script(), kit.Script(*kit.pages([kit.statement("one")]), lists_everything=True)
    dead.failure = kit.Unavailable("It is closed.")
    answers = await refresher((kit.stripe(), dead), (kit.bank(), alive)).ensure(["stripe", "bank"])
    assert answers["stripe"].failure is not None
    assert answers["bank"].failure is None


async def test_closing_ends_pulls_and_connectors_and_leaves_no_lock(
    kit: Any, refresher: Any, db: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice()]))
    script.hold()
    service = refresher((kit.stripe(), script))
    asked = asyncio.create_task(service.ensure(["stripe"]))
    await script.reached.wait()
    await service.close()
    assert (await asked)["stripe"].failure is not None
    assert script.closed
    assert script.at_once == 0
    while await owner.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database <> 0)"):
        continue


async def test_a_page_is_stored_with_its_cursor_or_not_at_all(
    kit: Any, refresher: Any, owner: Any, ledgers: Any
) -> None:
    """Whenever a backfill is cut off, what is held is what the cursor says."""
    chance = random.Random(7)
    count = 40
    script = kit.Script(*kit.pages(*([kit.invoice(f"in_{n:02}")] for n in range(count))))
    for _ in range(12):
        service = refresher((kit.stripe(), script), deadline=0.05 * chance.random())
        await service.ensure(["stripe"])
        await service.close()
        cursor = await owner.fetchval("SELECT cursor FROM mirror.source_state")
        assert await owner.fetchval("SELECT count(*) FROM mirror.invoice") == int(cursor or 0)
    assert not (await refresher((kit.stripe(), script)).ensure(["stripe"]))["stripe"].stale
    assert await owner.fetchval("SELECT count(*) FROM mirror.invoice") == count


async def test_a_lost_connection_ends_the_pull_and_the_next_one_goes_on(
    kit: Any, refresher: Any, administrator: Any, background: Any, database: str, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]))
    script.hold(1)
    service = refresher((kit.stripe(), script))
    asked = asyncio.create_task(service.ensure(["stripe"]))
    await script.reached.wait()
    await stored(owner, 1)
    ended = administrator.fetchval(
        """SELECT count(pg_terminate_backend(pid)) FROM pg_locks
           WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = $1)""",
        database,
    )
    assert await asyncio.to_thread(background.run, ended) == 1
    script.release()
    answer = (await asked)["stripe"]
    assert "the ledger store does not answer" in answer.error
    assert not (await service.ensure(["stripe"]))["stripe"].stale
    assert script.pulls == [None, "1"]
    assert await owner.fetchval("SELECT count(*) FROM mirror.invoice") == 2


async def test_a_pull_never_gets_a_connection_that_is_being_closed(
    monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    """It begins in the turn in which the connection has been idle for long enough."""
    monkeypatch.setattr(pulling, "IDLE_SECONDS", 0)
    lock = pulling.SourceLock(db, "stripe")
    for turns in range(4):
        async with lock.held() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        for _ in range(turns):
            await asyncio.sleep(0)
    await lock.close()


async def test_a_connection_that_could_not_be_prepared_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    """It would not see the ledgers."""
    lock = pulling.SourceLock(db, "stripe")
    opened: list[asyncpg.Connection[Any]] = []

    async def fail(connection: asyncpg.Connection[Any]) -> None:
        opened.append(connection)
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(state, "prepare", fail)
        with pytest.raises(TimeoutError):
            await lock.held().__aenter__()
    assert opened[0].is_closed()
    async with lock.held() as connection:
        assert await connection.fetchval("SHOW ledgergraph.ledgers") == "*"
    await lock.close()


async def test_a_page_that_the_database_refuses_ends_the_run(
    kit: Any, refresher: Any, db: Any, owner: Any, ledgers: Any
) -> None:
    """What the database refuses ends the run with a reason, and leaves the pages before it."""
    await owner.execute("ALTER TABLE mirror.invoice ADD CONSTRAINT test_only CHECK (external_id <> 'b')")
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]))
    service = refresher((kit.stripe(), script))
    answer = (await service.ensure(["stripe"]))["stripe"]
    assert answer.error == "stripe could not be read: what it stated could not be stored; the log says more."
    assert (await status(service, db))[0] is SourceStatus.DOWN
    assert await owner.fetchval("SELECT cursor FROM mirror.source_state") == "1"


# ---------------------------------------------------------------- payslips


async def _paid(kit: Any, refresher: Any, script: Any) -> Refresher:
    service: Refresher = refresher((kit.payroll(), script))
    await service.ensure(["payroll"], 0)
    return service


async def test_payslips_are_asked_for_once_and_then_held(kit: Any, refresher: Any, ledgers: Mapping[str, int]) -> None:
    script = kit.Script(*kit.pages([kit.run("one"), kit.run("two")]), lists_everything=True)
    slips = (kit.slip("b", gross=5), kit.slip("a", department="R&D"))
    script.slips = {"one": slips, "two": None}
    service = await _paid(kit, refresher, script)
    script.hold()
    asks = [service.fetch_payslips(ledgers["acme-eu"], "payroll", ["one", "two"]) for _ in range(5)]
    waiting = [asyncio.create_task(ask) for ask in asks]
    await script.reached.wait()
    script.release()
    for answer in await asyncio.gather(*waiting):
        assert answer == {"one": slips, "two": None}
    assert await service.fetch_payslips(ledgers["acme-eu"], "payroll", ["one", "two"]) == {"one": slips, "two": None}
    assert sorted(script.slips_asked) == ["one", "two"]


async def test_payslips_of_a_changed_run_are_asked_for_anew(
    kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    script = kit.Script(*kit.pages([kit.run("one")]), lists_everything=True)
    script.slips = {"one": (kit.slip(net=1),)}
    service = await _paid(kit, refresher, script)
    await service.fetch_payslips(ledgers["acme-eu"], "payroll", ["one"])
    script.pages, script.slips = kit.pages([kit.run("one", net=2)]), {"one": (kit.slip(net=2),)}
    await service.ensure(["payroll"], 0)
    answer = await service.fetch_payslips(ledgers["acme-eu"], "payroll", ["one"])
    assert [slip.net for slip in answer["one"]] == [2]


async def test_payslips_of_drafts_are_asked_for_with_every_newer_copy(
    kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    """The run's own row may stay the same while its slips change. Those of final runs are kept."""
    draft, final = kit.run("draft", source_status="Draft"), kit.run("final")
    script = kit.Script(*kit.pages([draft, final]), lists_everything=True)
    script.draft_statuses = ("Draft",)
    service = await _paid(kit, refresher, script)

    async def nets(net: int) -> list[int]:
        script.slips = {"draft": (kit.slip(net=net),), "final": (kit.slip(net=net),)}
        answer = await service.fetch_payslips(ledgers["acme-eu"], "payroll", ["draft", "final"])
        return [answer[run][0].net for run in ("draft", "final")]

    assert await nets(1) == [1, 1]
    assert await nets(2) == [1, 1]
    await service.ensure(["payroll"], 60)
    assert await nets(2) == [1, 1]
    await service.ensure(["payroll"], 0)
    assert await nets(2) == [2, 1]
    assert sorted(script.slips_asked) == ["draft", "draft", "final"]


@pytest.mark.parametrize("failure", [SourceUnavailable("It is closed."), KeyError("secret")])
async def test_payslips_that_cannot_be_read_are_a_failure_of_their_run_alone(
    failure: Exception, kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    given = kit.run("given", payslips=(kit.slip(),))
    script = kit.Script(*kit.pages([kit.run("asked"), given]), lists_everything=True)
    service = await _paid(kit, refresher, script)
    script.failure = failure
    answer = await service.fetch_payslips(ledgers["acme-eu"], "payroll", ["asked", "given"])
    assert answer["given"] == (kit.slip(),)
    assert isinstance(answer["asked"], SourceUnavailable)
    assert "secret" not in str(answer["asked"])
    assert script.slips_asked == ["asked"]


async def test_one_operation_asks_for_the_payslips_of_so_many_runs(
    kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    """The others fail with what to do; asked again, the next ones come."""
    runs = [f"run-{number:02}" for number in range(RUNS_AN_OPERATION + 5)]
    script = kit.Script(*kit.pages([kit.run(run) for run in runs]), lists_everything=True)
    script.slips = {run: (kit.slip(),) for run in runs}
    service = await _paid(kit, refresher, script)
    asking, ledger_id = Asking(), ledgers["acme-eu"]
    first = await service.fetch_payslips(ledger_id, "payroll", runs[:3], asking)
    answer = await service.fetch_payslips(ledger_id, "payroll", runs, asking)
    assert {**answer, **first} == answer
    left = [run for run in runs if isinstance(answer[run], SourceUnavailable)]
    assert left == runs[RUNS_AN_OPERATION:]
    assert "smaller pages" in str(answer[left[0]])
    assert len(script.slips_asked) == RUNS_AN_OPERATION
    assert set((await service.fetch_payslips(ledger_id, "payroll", runs)).values()) == {(kit.slip(),)}
    assert sorted(script.slips_asked) == runs


async def test_payslips_that_nobody_waits_for_are_not_asked_for(
    kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    """Those under way come to their end and are held; those in the queue are dropped, unless another caller wants them."""
    runs = [f"run-{number}" for number in range(AT_ONCE + 3)]
    script = kit.Script(*kit.pages([kit.run(run) for run in runs]), lists_everything=True)
    service = await _paid(kit, refresher, script)
    script.hold()
    ledger_id = ledgers["acme-eu"]
    leaving = asyncio.create_task(service.fetch_payslips(ledger_id, "payroll", runs))
    async with asyncio.timeout(5):
        while len(script.slips_asked) < AT_ONCE:
            await asyncio.sleep(0)
        staying = asyncio.create_task(service.fetch_payslips(ledger_id, "payroll", runs[-1:]))
        leaving.cancel()
        await asyncio.wait([leaving])
        script.release()
        assert await staying == {runs[-1]: None}
    assert sorted(script.slips_asked) == sorted({*runs[:AT_ONCE], runs[-1]})
    assert set(await service.fetch_payslips(ledger_id, "payroll", runs)) == set(runs)
    assert sorted(script.slips_asked) == runs


async def test_payslips_of_a_source_that_hangs_keep_no_other_source_waiting(
    kit: Any, refresher: Any, ledgers: Mapping[str, int]
) -> None:
    runs = [f"run-{number}" for number in range(AT_ONCE + 1)]
    hangs = kit.Script(*kit.pages([kit.run(run) for run in runs]), lists_everything=True)
    works = kit.Script(*kit.pages([kit.run("one")]), lists_everything=True)
    works.slips = {"one": (kit.slip(),)}
    service = refresher((kit.payroll(), hangs), (kit.payroll(name="other"), works))
    await service.ensure(["payroll", "other"], 0)
    hangs.hold()
    waiting = asyncio.create_task(service.fetch_payslips(ledgers["acme-eu"], "payroll", runs))
    async with asyncio.timeout(5):
        while len(hangs.slips_asked) < AT_ONCE:
            await asyncio.sleep(0)
        assert await service.fetch_payslips(ledgers["acme-eu"], "other", ["one"]) == {"one": (kit.slip(),)}
    hangs.release()
    assert set(await waiting) == set(runs)
