"""The benchmark runs whole in its quick form, and it notices contestants and servers that answer wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contest import Contest, contest_over
from benchmarks.load import Job, WrongAnswer, run
from benchmarks.execution import documents, equal_answer, statements_of
from gateway.limits import Limits
from tests.gateway.processes import ROOT, environment
from tests.graph import entry, open_graph

MUTATIONS_HTTP, MUTATIONS_LOCAL = 8, 4


@pytest.mark.timeout(180)
def test_the_quick_benchmark_compares_everything(tmp_path: Path):
    """Every document and mutation gets a ratio, after equal answers; some 15 s on a calm machine."""
    page = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(page)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=150, cwd=ROOT, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    chosen = documents(200, 1_000)
    assert text.count("×** (") == len(chosen) + MUTATIONS_HTTP + MUTATIONS_LOCAL
    assert all(text.count(f"| {document.title} |") == 2 for document in chosen)
    assert "fsync on, synchronous_commit on" in text


class Liar(Contest):
    """A contestant whose answers are a little wrong."""

    async def field_by_field(self, query, variables):
        return (await super().field_by_field(query, variables)).replace(b"Sale", b"Gift")


async def test_unequal_and_empty_answers_are_not_measured(database_url):
    """Contestants have to give the same bytes, and an answer has to hold what it is measured for."""
    async with open_graph(database_url) as graph:
        await graph.found("bench")
        newest, honest = documents(200, 1)[0], contest_over(graph.services, graph.feed, Limits())
        with pytest.raises(RuntimeError, match="not the answer"):
            await equal_answer(honest, newest)
        await graph.post(entry("k1", ledger="bench"))
        assert b"Sale k1" in await equal_answer(honest, newest)
        with pytest.raises(RuntimeError, match="differ"):
            await equal_answer(Liar(honest.executing, honest.keeping, honest.reference), newest)


async def test_a_kept_answer_never_passes_for_an_executed_one(database_url):
    """What is measured as executed takes all of its statements every time."""
    async with open_graph(database_url) as graph:
        await graph.found("bench")
        await graph.post(entry("k1", ledger="bench"))
        newest, contest = documents(200, 1)[0], contest_over(graph.services, graph.feed, Limits())
        assert await statements_of(lambda: contest.planned(newest.query, newest.variables)) == 3
        with pytest.raises(RuntimeError, match="keeps answers"):
            await statements_of(lambda: contest.kept(newest.query, newest.variables))


async def test_the_load_generator_reads_every_answer():
    """Right answers are counted with their times; a wrong one ends the job."""

    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)
            while await reader.readline():
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Authorization: Bearer t" in head
                await reader.readexactly(2)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nright")

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        job = {"number": 1, "port": port, "token": "t", "clients": 2, "seconds": 0.05, "bodies": ["{}"]}
        result = await run(Job(**job, expected="right"))
        assert result.answers > 0
        assert result.all_answers == result.answers + 2
        assert 0 < result.p50 <= result.p99 < 5
        with pytest.raises(WrongAnswer):
            await run(Job(**job, expected="wrong"))
        with pytest.raises(WrongAnswer):
            await run(Job(**job, marker="right", times=2))
    for task in answering:
        task.cancel()
    await asyncio.gather(*answering, return_exceptions=True)
