"""The frame of the benchmarks: what is kept and composed, ledgers that are grown once, peers that cannot be had."""

from __future__ import annotations

import asyncio
import math
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from click.testing import CliRunner, Result

from benchmarks import chapters, chart, report
from benchmarks.__main__ import main
from benchmarks.books import LEDGER, copied, grown
from benchmarks.chapter import Bench, Chapter, Unavailable
from benchmarks.figures import Bars, Curves, claim, figures
from benchmarks.kept import Kept, Run, keep, kept_in
from benchmarks.measuring import Samples
from benchmarks.peers import installed
from benchmarks.surroundings import Surroundings
from sources.database.cluster import SUPERUSER
from sources.database.embedded import EmbeddedPostgres

RUN = Run(
    "2026-01-02 03:04 UTC", "make bench", 3, 2.0, 1_000, 0.5, 1.5,
    Surroundings("abc123", "2 cores", {"python": "3.11"}, {"fsync": "on"}, 0.0005),
)  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "run").mkdir()
    return Bench(tmp_path / "run", tmp_path / "cache", 1, 0.05, True, lambda _: None, entries=100)


def chapter(name: str, *ratios: float, **said) -> Kept:
    shown = figures(
        claims=[claim("Q1 cold", "an operation", "Peer", Samples(list(ratios) or [1.0]), reach=2.5, aim="3×")],
        bars=[Bars("Q1", "answers/s", [("ours", 20.0, 19.0, 21.0), ("Peer", 10.0, 9.0, 11.0)])],
        curves=[Curves("growth", "entries", "ms", {"Q1": [(10.0, 1.0), (100.0, 1.1)]})],
    )
    return Kept(name, RUN, f"About {name}", "A table.", shown, **said)


def test_the_page_is_composed_of_what_is_kept(tmp_path: Path):
    """Chapters in the registry's order, what is reached and what is not, and who was left out; kept text is the same text."""
    for kept in (
        chapter("reading", 2.0, 2.4, 2.6),
        chapter("execution", 2.6, 2.7),
        Kept("sources", RUN, unavailable="no npm"),
    ):
        keep(kept, tmp_path / report.RESULTS)
    page = report.write(tmp_path)
    assert (tmp_path / report.PAGE).read_text() == page
    assert page.index("## About execution") < page.index("## About reading")
    rows = [line for line in page.splitlines() if line.startswith("| Q1 cold")]
    assert [("yes" in row, "**no**" in row) for row in rows] == [(True, False), (False, True)]
    assert "**2.4×** (2.0–2.6)" in rows[1]
    assert "- sources: skipped: no npm" in page
    assert "- posting: not measured" in page
    assert page.count("code `abc123`") == 2
    linked = {line.rpartition("(")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert linked == {f"{report.CHARTS}/{path.name}" for path in (tmp_path / report.CHARTS).iterdir()}


def test_a_chapter_that_is_measured_again_replaces_itself_alone(tmp_path: Path):
    keep(chapter("reading", 1.0), tmp_path)
    keep(chapter("execution", 1.0), tmp_path)
    keep(replace(chapter("reading", 9.0), body="Anew."), tmp_path)
    assert [(it.name, it.body, it.claims[0].median) for it in kept_in(tmp_path)] == [
        ("execution", "A table.", 1.0),
        ("reading", "Anew.", 9.0),
    ]


def test_charts_are_images_with_every_name_and_number_in_place():
    """Well-formed, names escaped, and nothing drawn outside of the image."""
    kept = chapter("reading", 0.2, 3.0)
    odd = replace(kept.bars[0], title="<&>")
    for image in (chart.ratios(kept.claims), chart.columns([odd]), chart.lines(kept.curves)):
        root = ElementTree.fromstring(image)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for element in root.iter():
            assert 0 <= float(element.get("x", 0)) <= width
            assert 0 <= float(element.get("y", 0)) <= height
            for point in element.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height
    assert "&lt;&amp;&gt;: answers/s" in chart.columns([odd])


def test_a_claim_of_at_most_is_reached_from_below():
    late = claim("S1", "p99", "", Samples([40.0, 60.0]), unit="ms", reach=50, at_most=True)
    assert late.reached
    assert not replace(late, median=51.0).reached
    assert replace(late, reach=None).reached is None
    assert math.isclose(late.median, 50.0)


def test_a_share_that_is_nearly_the_whole_is_not_told_as_the_whole(tmp_path: Path):
    """99.996 % is 99.99 %; smaller shares and other units are rounded as ever."""
    shares = [("right", [99.996, 100.0, 99.9]), ("matched", [88.46, 88.4])]
    said = [claim("matching", name, "", Samples(values), unit="%") for name, values in shares]
    keep(replace(chapter("matching"), figures=figures(claims=said)), tmp_path / report.RESULTS)
    page = report.write(tmp_path)
    assert "**99.99 %** (99.90–100)" in page
    assert "**88.4 %** (88.4–88.5)" in page


async def test_a_ledger_is_grown_once_and_copies_are_their_own(bench: Bench):
    """Later runs get the same directory, and those who ask at once one of them; a copy takes writes, and the original stays
    as it was."""
    place, same = await asyncio.gather(grown(bench, 100, 10), grown(bench, 100, 10))
    assert place == same == await grown(bench, 100, 10)
    assert [path.name for path in place.parent.iterdir() if path.is_dir()] == [place.name]
    copy = await copied(place, bench.directory / "copy")
    assert await _entries(copy, "UPDATE ledger.ledger SET code = 'renamed'") == ("renamed", 100)
    assert await _entries(place) == (LEDGER, 100)


async def test_what_an_interrupted_growth_left_is_not_used(bench: Bench):
    """Its directory has another name until it is whole, and goes with the next growth of its kind."""
    task = asyncio.create_task(grown(bench, 100_000, 10))
    while not list((bench.cache / "books").glob("*.unfinished-*/cluster")):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [left] = (path for path in (bench.cache / "books").iterdir() if path.is_dir())
    assert ".unfinished-" in left.name


async def _entries(data_dir: Path, statement: str = "SELECT 1") -> tuple[str, int]:
    """The only ledger's code and how many entries it has, after the statement."""
    async with EmbeddedPostgres(data_dir) as server:
        connection = await asyncpg.connect(server.dsn(user=SUPERUSER))
        try:
            await connection.execute(statement)
            [found] = await connection.fetch(
                "SELECT code, count(*) FROM ledger.entry JOIN ledger.ledger USING (ledger_id) GROUP BY code"
            )
            return tuple(found)
        finally:
            await connection.close()


NPM = """#!/bin/sh
echo "npm error code EAI_AGAIN" >&2
exit 1
"""


async def test_peers_that_cannot_be_installed_are_unavailable(bench: Bench, tmp_path: Path, monkeypatch):
    """Without npm, when npm fails, and in a quick run, which installs nothing; a failed one leaves nothing behind."""
    with pytest.raises(Unavailable, match="installs nothing"):
        await installed(bench, "postgraphile")
    bench = replace(bench, quick=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no npm"):
        await installed(bench, "postgraphile")
    npm = tmp_path / "npm"
    npm.write_text(NPM)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(Unavailable, match=r"could not install postgraphile \(EAI_AGAIN\)"):
        await installed(bench, "postgraphile")
    assert not [path for path in (bench.cache / "peers").iterdir() if path.is_dir()]


@pytest.fixture
def pretend(monkeypatch):
    """Gives the chapter `reading` another `measure`."""

    def pretend(measure) -> None:
        monkeypatch.setitem(sys.modules, "benchmarks.pretended", SimpleNamespace(measure=measure))
        monkeypatch.setitem(chapters.CHAPTERS, "reading", "benchmarks.pretended")

    return pretend


def bench_command(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["--quick", "--only", "reading", "--output", str(folder), "--cache", str(folder / "cache"), *options]
    )


def test_a_run_keeps_its_chapters_and_skips_the_unavailable_by_name(tmp_path: Path, pretend):
    """A peer that is missing ends nothing, and a chapter that fails leaves what it had before."""

    async def fine(bench: Bench) -> Chapter:
        assert bench.directory.is_dir()
        return Chapter("Reading", f"With {bench.entries} entries.")

    async def missing(_bench: Bench) -> Chapter:
        raise Unavailable("PostGraphile comes from npm, and there is no npm here")

    async def failing(_bench: Bench) -> Chapter:
        raise RuntimeError("the answers differ")

    pretend(fine)
    assert bench_command(tmp_path).exit_code == 0
    pretend(failing)
    failed = bench_command(tmp_path)
    assert failed.exit_code == 1
    assert "the answers differ" in failed.output
    assert "With 1000 entries." in (tmp_path / report.PAGE).read_text()
    pretend(missing)
    assert bench_command(tmp_path).exit_code == 0
    page = (tmp_path / report.PAGE).read_text()
    assert "- reading: skipped: PostGraphile comes from npm, and there is no npm here" in page
    assert "## Reading" not in page


def test_an_unknown_chapter_is_a_usage_error(tmp_path: Path):
    refused = bench_command(tmp_path, "--only", "reading,writing")
    assert refused.exit_code == 2
    assert "no chapter 'writing'" in refused.output


def test_the_help_names_every_chapter():
    """In the order of the page."""
    said = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert f"Chapters: {', '.join(chapters.CHAPTERS)}." in said
