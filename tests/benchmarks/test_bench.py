"""Every chapter runs in its quick form, and contestants and servers that answer wrongly are noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chapters import CHAPTERS
from benchmarks.contest import Contest, contest_over
from benchmarks.execution import equal_answer, statements_of
from benchmarks.questions import questions
from gateway.limits import Limits
from tests.gateway.processes import ROOT, environment
from tests.graph import entry, open_graph

FROM_NPM = ("reading", "sources")
MARKS = {"execution": "| 1,000 entries, flat |"}
"""What a chapter's text has to hold, apart from its title."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory, worker_id: str) -> Path:
    """One for all tests and workers, so that a ledger is grown once."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "bench-cache"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_works_in_its_quick_form(tmp_path: Path, cache: Path, name: str):
    """It is measured and written, or its peer from npm is not installed."""
    options = ["--quick", "--only", name, "--output", str(tmp_path), "--cache", str(cache)]
    command = [sys.executable, "-m", "benchmarks", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, cwd=ROOT, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "RESULTS.md").read_text()
    assert f"- {name}: skipped: " in page or f"--only {name}" in page
    assert (f"- {name}: skipped: " in page) == (name in FROM_NPM)
    assert "fsync on, synchronous_commit on" in page or name in FROM_NPM
    assert MARKS.get(name, "") in page


class Liar(Contest):
    """A contestant whose answers are a little wrong."""

    async def field_by_field(self, query, variables):
        return (await super().field_by_field(query, variables)).replace(b"Sale", b"Gift")


async def test_unequal_and_empty_answers_are_not_measured(database_url):
    """Contestants have to give the same bytes, and an answer has to hold what it is measured for."""
    async with open_graph(database_url) as graph:
        await graph.found("bench")
        newest, honest = questions(1)[0], contest_over(graph.services, graph.feed, Limits())
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
        newest, contest = questions(1)[0], contest_over(graph.services, graph.feed, Limits())
        assert await statements_of(lambda: contest.planned(newest.query, newest.variables)) == 3
        with pytest.raises(RuntimeError, match="keeps answers"):
            await statements_of(lambda: contest.kept(newest.query, newest.variables))
