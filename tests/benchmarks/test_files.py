"""Files that the benchmarks make: who reads them finds the same in them, and what is refused is told and not left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chapter import Bench
from benchmarks.files import Found, _measure_size, _row
from benchmarks.files_facts import Facts
from benchmarks.files_formats import FORMATS
from benchmarks.files_reading import OURS, PEER, NotRead, read_in_process

SIZE = 30_000
HERE = [form for form in FORMATS.values() if form.peer.package is None]
"""Those whose peer needs no library but the product's."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, tmp_path, 1, 0.0, True, lambda _: None)


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_a_file_has_about_the_size_that_is_asked_for_and_is_read(form):
    """The long invoice takes all of it, the scanned one hides ten lines in it."""
    data = b"".join(form.pieces(SIZE))
    assert SIZE * 0.85 <= len(data) <= SIZE * 1.15
    facts = form.read(data)
    assert facts.entries == 10 if "scanned" in form.name else facts.entries > 20
    assert facts.total != 0


@pytest.mark.parametrize("form", HERE, ids=lambda form: form.name)
async def test_both_read_the_same_in_processes_of_their_own(bench: Bench, form):
    """Their rates and their memory are known, and there is a ratio."""
    found = await _measure_size(bench, form, "30 kB", SIZE, None)
    assert found.both
    assert found.sides[OURS].last.facts == found.sides[PEER].last.facts
    assert "×**" in " ".join(_row(found))


async def test_what_reads_something_else_fails_the_chapter(bench: Bench, monkeypatch):
    """A peer's answer that differs by a cent is noticed."""
    form = FORMATS["CSV"]

    async def wrong(form_, contestant, *rest):
        read = await read_in_process(form_, contestant, *rest)
        return type(read)(read.size, read.entries, read.total + (contestant == PEER), read.rate, read.memory)

    monkeypatch.setattr("benchmarks.files.read_in_process", wrong)
    with pytest.raises(RuntimeError, match="CSV, 30 kB"):
        await _measure_size(bench, form, "30 kB", SIZE, None)


async def test_a_refusal_and_a_failure_stand_in_the_row(bench: Bench, tmp_path: Path):
    """Refused by us with its reason; the peer's failure with the last line of what it said; a program that takes too long is ended."""
    form, file = FORMATS["UBL"], tmp_path / "refused"
    file.write_bytes(b"<Order/>")
    refused = await read_in_process(form, OURS, file, 0.0, 30, None)
    assert refused.refused == "it is neither an invoice in UBL 2 nor in CII: its root is 'Order'"
    assert refused.facts == Facts(0, 0)
    with pytest.raises(NotRead, match="fails: "):
        await read_in_process(form, PEER, file, 0.0, 30, None)
    file.write_bytes(b"".join(form.pieces(SIZE)))
    with pytest.raises(NotRead, match="not read after 1 s"):
        await read_in_process(form, OURS, file, 30.0, 1, None)
    row = Found(form)
    row.sides[OURS].last, row.sides[OURS].not_read = refused, f"refused: {refused.refused}"
    row.sides[PEER].not_read = "fails: ValueError"
    assert _row(row)[2] == f"refused: {refused.refused}"
    assert "fails: ValueError" in _row(row)
