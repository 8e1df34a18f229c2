"""The checklist of every connector of files: what happens to a drop folder and to the files in it, and what reading one costs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.connectors import files_place
from sources.documents import Problem
from tests.examples import FACTOR
from tests.sources.connectors.checklist.copies import Copy, Outcome
from tests.sources.connectors.checklist.subjects import FileSubject, subjects

NOW = 1_780_000_000.0
FORMS = {subject.name: subject for subject in subjects() if isinstance(subject, FileSubject)}
every_form = pytest.mark.parametrize("subject", FORMS.values(), ids=FORMS.keys())

NAMES = (
    "with blank.txt",
    "ümläut.xml",
    "emoji-💶.csv",
    "no-suffix",
    "UPPER.XML",
    "quote'\".sta",
    "semi;colon&.sta",
    "-dash",
    "a" * 200,
)
MOST_MEMORY = 10
"""Times the size of a file."""
FREE_MEMORY = 64_000_000
BIG = 4_000_000


@dataclass
class Drop:
    """A folder, and who stores what the connector reads in it. Files are old unless a test says otherwise."""

    subject: FileSubject
    path: Path
    now: float = NOW
    copy: Copy = field(default_factory=Copy)

    def put(self, name: str, data: bytes, age: float = 1_000) -> Path:
        file = self.path / name
        file.write_bytes(data)
        os.utime(file, (self.now - age, self.now - age))
        return file

    async def pull(self) -> Outcome:
        connector = self.subject.connector(self.path, lambda: self.now)
        try:
            outcome = await self.copy.pull(connector)
        finally:
            await connector.close()
        assert outcome.error is None
        assert outcome.deleted == set()
        return outcome

    @property
    def held(self) -> list[int]:
        """Every amount that is held, in whole units."""
        cents = [amount for document in self.copy.held.values() for amount in self.subject.amounts(document)]
        assert all(amount % 100 == 0 for amount in cents)
        return sorted(amount // 100 for amount in cents)


@pytest.fixture
def drop(subject: FileSubject, tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(subject, tmp_path / "drop")


def of(problems: list[Problem], name: str) -> str:
    """The reason for a file; nothing else may be told of."""
    (problem,) = problems
    assert (problem.subject, problem.code) == (name, "UNREADABLE_FILE")
    assert problem.message.startswith(f"{name}: ")
    assert "Traceback" not in problem.message
    assert "unexpectedly" not in problem.message
    return problem.message


@every_form
async def test_files_are_read_once_and_new_ones_later(drop: Drop) -> None:
    drop.put("a", drop.subject.file([1, 2]))
    await drop.pull()
    assert drop.held == [1, 2]
    assert (await drop.pull()).seen == {}
    drop.put("b", drop.subject.file([3]))
    assert len((await drop.pull()).seen) == 1
    assert drop.held == [1, 2, 3]


@every_form
async def test_dropped_twice_renamed_or_touched_it_is_one_document(drop: Drop) -> None:
    data = drop.subject.file([5])
    drop.put("a", data)
    drop.put("b", data)
    assert len((await drop.pull()).seen) == 1
    (drop.path / "a").rename(drop.path / "c")
    drop.put("b", data, age=500)
    assert (await drop.pull()).seen == {}
    drop.put("d", data + b"\n")
    await drop.pull()
    assert drop.held == [5]


@every_form
async def test_what_a_removed_file_stated_stays(drop: Drop) -> None:
    drop.put("a", drop.subject.file([5])).unlink()
    drop.put("b", drop.subject.file([6]))
    await drop.pull()
    (drop.path / "b").unlink()
    assert (await drop.pull()).problems == []
    assert drop.held == [6]


@every_form
async def test_a_file_that_changes_is_read_anew(drop: Drop) -> None:
    drop.put("a", drop.subject.file([5]))
    await drop.pull()
    drop.put("a", drop.subject.file([5, 6]), age=900)
    await drop.pull()
    assert drop.held == [5, 6]


@every_form
@pytest.mark.parametrize("eighth", range(8))
async def test_a_half_written_file_is_no_document_of_its_own_once_it_is_whole(drop: Drop, eighth: int) -> None:
    whole = drop.subject.file([5, 6, 7])
    drop.put("other", drop.subject.file([9]))
    drop.put("a", whole[: len(whole) * eighth // 8], age=0.5)
    first = await drop.pull()
    assert first.problems or drop.held != [9]
    assert 9 in drop.held
    drop.put("a", whole, age=0)
    drop.now += 60
    assert (await drop.pull()).problems == []
    assert drop.held == [5, 6, 7, 9]


@every_form
@pytest.mark.parametrize(
    "data",
    [b"", b" \r\n\t\n", b"\0" * 100, b"\xff\xfe\xfd" * 50, b"PK\x03\x04" + b"\0" * 60, b"\x1f\x8b\x08" + b"\1" * 60,
     b"%PDF-1.7\n%%EOF", b"<html><body>Sign in</body></html>", b"{}", b"<a>" * 5_000,
     b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', b"just a text\nof two lines\n", b"," * 2_000, b'"' + b"a," * 9],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
async def test_what_is_none_of_its_files_is_refused_with_a_reason_and_harms_no_other(drop: Drop, data: bytes) -> None:
    drop.put("a", drop.subject.file([5]))
    drop.put("bad", data)
    drop.put("c", drop.subject.file([6]))
    outcome = await drop.pull()
    assert of(outcome.problems, "bad")
    assert drop.held == [5, 6]
    assert (await drop.pull()).problems == outcome.problems
    drop.put("bad", drop.subject.file([7]), age=500)
    assert (await drop.pull()).problems == []
    assert drop.held == [5, 6, 7]


@every_form
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp500"])
async def test_another_encoding_is_read_or_refused_and_never_changes_an_amount(drop: Drop, encoding: str) -> None:
    if not drop.subject.text:
        pytest.skip("it is no text")
    drop.put("a", drop.subject.file([5, 6]).decode().encode(encoding))
    outcome = await drop.pull()
    assert drop.held == [5, 6] if not outcome.problems else of(outcome.problems, "a")


@every_form
async def test_a_file_too_large_is_refused_unread(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_place, "MAX_FILE_BYTES", 20_000)
    drop.put("a", drop.subject.file([5]) + b"\n" * 20_000)
    drop.put("b", drop.subject.file([6]))
    assert "larger than" in of((await drop.pull()).problems, "a")
    assert drop.held == [6]


@every_form
@pytest.mark.parametrize("age", [-3_600.0, -86_400 * 400, NOW - 1, 86_400 * 400])
async def test_clocks_that_are_wrong_lose_nothing(drop: Drop, age: float) -> None:
    drop.put("a", drop.subject.file([5]), age=age)
    await drop.pull()
    drop.put("a", drop.subject.file([5, 6]), age=age)
    await drop.pull()
    assert drop.held == [5, 6]
    assert (await drop.pull()).seen == {}


@every_form
@pytest.mark.parametrize("name", NAMES)
async def test_whatever_a_file_is_called_it_is_read_and_named(drop: Drop, name: str) -> None:
    drop.put(name, drop.subject.file([5]))
    await drop.pull()
    assert drop.held == [5]
    drop.put(name, b"?" * 2_000, age=500)
    assert (await drop.pull()).problems
    assert drop.held == [5]


@every_form
@settings(
    max_examples=max(1, round(40 * FACTOR)), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_no_change_of_some_bytes_is_a_crash(subject: FileSubject, tmp_path: Path, data: st.DataObject) -> None:
    """What is not refused is read; a reason is never an exception's."""
    whole = bytearray(subject.file([5, 6, 7]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 12))] = data.draw(
            st.binary(max_size=12) | st.just(bytes(whole[at : at + 200]))
        )
    folder = tmp_path / "fuzz"
    folder.mkdir(exist_ok=True)
    drop = Drop(subject, folder)
    drop.put("a", bytes(whole))
    outcome = await drop.pull()
    assert not outcome.problems or of(outcome.problems, "a")


MEASURED = """
import asyncio, resource, sys, time
from pathlib import Path
from tests.sources.connectors.checklist.copies import Copy
from tests.sources.connectors.checklist.test_folders import FORMS

def peak():
    # Not ru_maxrss where there is better: that counts what the process was before it became this program.
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024

async def read(subject, folder):
    connector = subject.connector(folder, time.time)
    count = wrong = 0
    async for page in connector.pull(None):
        assert not page.problems, page.problems
        for document in page.documents:
            amounts = subject.amounts(document)
            count += len(amounts)
            wrong += sum(amount != 700 for amount in amounts)
    assert not wrong
    return count

subject = FORMS[sys.argv[1]]
folder = Path(sys.argv[2])
(folder / "small").mkdir()
(folder / "small/a").write_bytes(subject.file([7]))
asyncio.run(read(subject, folder / "small"))
before = peak()
count = asyncio.run(read(subject, folder / "big"))
print(count, peak() - before)
"""


@every_form
def test_a_big_file_takes_no_more_than_ten_times_its_size_in_memory(subject: FileSubject, tmp_path: Path) -> None:
    """Measured in a process of its own, what libraries in C take too. Work that grew with the square of the size would not end
    in time."""
    (tmp_path / "big").mkdir()
    data = subject.big(BIG)
    assert BIG * 0.8 < len(data) < BIG * 1.3
    (tmp_path / "big" / "a").write_bytes(data)
    command = [sys.executable, "-c", MEASURED, subject.name, str(tmp_path)]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[4]
    )
    assert found.returncode == 0, found.stderr[-2_000:]
    count, grown = map(int, found.stdout.split())
    assert count > 1_000
    assert grown <= MOST_MEMORY * len(data) + FREE_MEMORY, f"{grown / len(data):.1f} times the file"
