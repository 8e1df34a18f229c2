"""Payslips of runs that post: read behind each pull, once for each version, with pauses, also by the next process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

from sources.errors import SourceUnavailable
from sources.mirror.payslip_rounds import FAILURES
from sources.mirror.refresh import Refresher
from tests.sources.mirror.kit import Kit, Script

CUTOVER = date(2026, 2, 1)
HELD = """
SELECT external_id, payslips_at IS NOT NULL AS held, payslips_attempts AS attempts, payslips_error AS error,
    payslips_not_before > clock_timestamp() AS waits FROM mirror.payroll_run ORDER BY external_id"""
TOLD = "SELECT change FROM pipeline.todo WHERE external_id = $1"


def final(external_id: str = "one", **more: Any) -> Any:
    return Kit.run(external_id, **{"payslips_follow": True, **more})


def stating(*runs: Any) -> Script:
    script = Script(*Kit.pages(list(runs)), lists_everything=True)
    script.slips = {run.external_id: (Kit.slip(f"{run.external_id}-1", gross=5),) for run in runs}
    return script


async def pull(service: Refresher) -> None:
    """One pull, and the round behind it."""
    assert (await service.sync("payroll")).error is None
    await service.payslips_read("payroll")


async def held(owner: Any) -> dict[str, Any]:
    return {row["external_id"]: row for row in await owner.fetch(HELD)}


async def test_a_pull_reads_the_payslips_of_runs_that_post(
    refresher: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    """Not of drafts, and not of what is dated before the cut-over, but of a period that ends behind it. Once."""
    early = {"period_end": date(2026, 1, 31), "pay_date": date(2026, 1, 28)}
    script = stating(
        final(),
        final("draft", payslips_follow=False, source_status="Draft"),
        final("early", **early),
        final("paid-before", pay_date=date(2026, 1, 31)),
        final("paid-after", period_end=date(2026, 1, 31), pay_date=CUTOVER),
    )
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    await pull(service)
    await pull(service)
    assert sorted(script.slips_asked) == ["one", "paid-after", "paid-before"]
    assert await owner.fetchval("SELECT gross FROM mirror.payslip WHERE run_external_id = 'one'") == 5


async def test_a_source_that_does_not_post_is_not_asked(refresher: Any, owner: Any, ledgers: Mapping[str, int]) -> None:
    """Until it does."""
    script = stating(final())
    await pull(refresher((Kit.payroll(), script)))
    assert script.slips_asked == []
    await pull(refresher((Kit.payroll(post_from=CUTOVER), script)))
    assert script.slips_asked == ["one"]


async def test_each_version_of_a_run_has_its_payslips_read(
    refresher: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    script = stating(final())
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    await pull(service)
    before = await owner.fetchval(TOLD, "one")
    script.pages = Kit.pages([final(net=2)])
    await pull(service)
    assert script.slips_asked == ["one", "one"]
    assert await owner.fetchval(TOLD, "one") > before
    script.pages = Kit.pages([])
    await pull(service)
    assert script.slips_asked == ["one", "one"]


async def test_what_fails_is_put_off_and_told_and_read_once_it_can_be(
    refresher: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    script = stating(final())
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    script.failure, script.fails_at = SourceUnavailable("It is closed."), 0
    fails, script.pull = script.pull, script.pull

    async def reads(cursor: str | None) -> Any:
        yield Kit.pages([final()])[0]

    script.pull = reads  # type: ignore[method-assign]
    await pull(service)
    row = (await held(owner))["one"]
    assert (row["held"], row["attempts"], row["waits"]) == (False, 1, True)
    assert row["error"] == "the payslips of payroll could not be read: It is closed."
    told = await owner.fetchval(TOLD, "one")
    await pull(service)
    assert script.slips_asked == ["one"]
    await owner.execute("UPDATE mirror.payroll_run SET payslips_not_before = clock_timestamp()")
    await pull(service)
    assert (await held(owner))["one"]["attempts"] == 2
    script.failure, script.pull = None, fails  # type: ignore[method-assign]
    await owner.execute("UPDATE mirror.payroll_run SET payslips_not_before = clock_timestamp()")
    await pull(service)
    row = (await held(owner))["one"]
    assert (row["held"], row["attempts"], row["error"], row["waits"]) == (True, None, None, None)
    assert await owner.fetchval(TOLD, "one") > told


async def test_runs_that_fail_hold_up_no_other_for_long(refresher: Any, owner: Any, ledgers: Mapping[str, int]) -> None:
    """A round ends after a few; the next one begins with those that were not tried."""
    bad = [f"bad-{number}" for number in range(FAILURES)]
    script = stating(*[final(name, pay_date=date(2026, 4, 1)) for name in bad], final("good"))
    fetch = script.fetch_payslips

    async def fails(run_id: str) -> Any:
        if run_id in bad:
            script.slips_asked.append(run_id)
            raise SourceUnavailable("It has no such run.")
        return await fetch(run_id)

    script.fetch_payslips = fails  # type: ignore[method-assign]
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    await pull(service)
    assert script.slips_asked == bad
    await pull(service)
    assert script.slips_asked == [*bad, "good"]
    assert (await held(owner))["good"]["held"]


async def test_a_source_near_its_limit_is_left_alone(refresher: Any, owner: Any, ledgers: Mapping[str, int]) -> None:
    script = stating(*[final(f"run-{number}") for number in range(5)])
    fetch = script.fetch_payslips

    async def counts(run_id: str) -> Any:
        slips = await fetch(run_id)
        script.is_near_its_limit = len(script.slips_asked) % 2 == 0  # type: ignore[attr-defined]
        return slips

    script.fetch_payslips = counts  # type: ignore[method-assign]
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    for _ in range(2):
        await pull(service)
        assert len(script.slips_asked) == 2
    script.is_near_its_limit = False  # type: ignore[attr-defined]
    await pull(service)
    assert len(set(script.slips_asked)) == 4


async def test_a_process_that_ends_leaves_the_rest_to_the_next(
    refresher: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    """What it had read stays, and what it was reading is free again after a pause."""
    script = stating(final("a"), final("b"), final("c"))
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    fetch = script.fetch_payslips
    reached = asyncio.Event()

    async def hangs(run_id: str) -> Any:
        if run_id == "b":
            script.slips_asked.append(run_id)
            reached.set()
            await asyncio.Event().wait()
        return await fetch(run_id)

    script.fetch_payslips = hangs  # type: ignore[method-assign]
    await service.sync("payroll")
    async with asyncio.timeout(10):
        await reached.wait()
    await service.close()
    rows = await held(owner)
    assert {name: (row["held"], row["waits"]) for name, row in rows.items()} == {
        "a": (True, None),
        "b": (False, True),
        "c": (False, None),
    }
    script.fetch_payslips = fetch  # type: ignore[method-assign]
    later = refresher((Kit.payroll(post_from=CUTOVER), script))
    await pull(later)
    await owner.execute("UPDATE mirror.payroll_run SET payslips_not_before = clock_timestamp()")
    await pull(later)
    assert script.slips_asked == ["a", "b", "c", "b"]
    assert all(row["held"] for row in (await held(owner)).values())


async def test_two_processes_never_read_the_same_run(refresher: Any, owner: Any, ledgers: Mapping[str, int]) -> None:
    runs = [final(f"run-{number}") for number in range(9)]
    scripts = [stating(*runs), stating(*runs)]
    services = [refresher((Kit.payroll(post_from=CUTOVER), script)) for script in scripts]
    await asyncio.gather(*(pull(service) for service in services))
    asked = [run for script in scripts for run in script.slips_asked]
    assert sorted(asked) == sorted({run.external_id for run in runs})


async def test_a_pull_does_not_wait_for_payslips(refresher: Any, owner: Any, ledgers: Mapping[str, int]) -> None:
    """Nor does the next one, while the round goes on."""
    script = stating(final())
    gate = asyncio.Event()
    fetch = script.fetch_payslips

    async def waits(run_id: str) -> Any:
        await gate.wait()
        return await fetch(run_id)

    script.fetch_payslips = waits  # type: ignore[method-assign]
    service = refresher((Kit.payroll(post_from=CUTOVER), script))
    async with asyncio.timeout(10):
        for _ in range(2):
            assert (await service.ensure(["payroll"], 0))["payroll"].error is None
        gate.set()
        await service.payslips_read("payroll")
    assert script.slips_asked == ["one"]
