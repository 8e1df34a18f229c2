"""Whatever a file holds, reading it takes no more than ten times its size and 64 MB: measured over every shape of `hostile_files`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sources.connectors import files_values
from tests.examples import FACTOR
from tests.sources.connectors.reading_memory import FORMATS

ROOT = Path(__file__).parents[3]
BY_BYTE, FREE = 10, 64_000_000
"""What docs/connectors.md promises."""
SMALL = 16
"""A sixteenth of both: then shapes of 1 MB show what shapes of 16 MB would."""
SLACK = 4_000_000
"""Of a process, whatever it reads: modules, tables and buffers that are made once."""
WORST = {
    "camt": ["attributes of one element", "elements and texts", "details without texts", "empty entries", "names"],
    "mt940": ["details"],
    "bai2": ["entries with texts"],
    "ofx": ["entries with one id"],
    "bank-csv": ["rows with ids"],
    "payroll-csv": ["runs"],
    "ubl": ["attributes to the limit"],
    "cii": ["elements and texts"],
}
"""What came nearest to the promise, or broke it once."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process")


@dataclass(frozen=True)
class Cost:
    """See `reading_memory`."""

    shape: str
    size: int
    grown: int
    seconds: float
    said: str


def costs(size: int, form: str, *shapes: str, free: int = 0) -> Iterator[Cost]:
    command = [sys.executable, "-m", "tests.sources.connectors.reading_memory", str(size), str(free), form, *shapes]
    found = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stderr[-2_000:]
    for line in found.stdout.splitlines():
        yield Cost(**json.loads(line))


def too_much(cost: Cost, free: int) -> str | None:
    most = BY_BYTE * cost.size + free
    return (
        None
        if cost.grown <= most
        else f"{cost.shape}: {cost.grown / 1e6:.1f} MB for {cost.size / 1e6:.1f} MB ({cost.said})"
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", FORMATS)
def test_memory_is_bounded_by_the_size_of_a_file_of_any_shape(form: str) -> None:
    found = list(costs(1_000_000, form, free=files_values.FREE_MEMORY // SMALL))
    assert [cost.shape for cost in found] == list(FORMATS[form][0])
    assert [told for cost in found if (told := too_much(cost, FREE // SMALL + SLACK))] == []
    assert [cost.shape for cost in found if not cost.said.strip() or cost.seconds > 30] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", FORMATS)
def test_the_worst_shapes_keep_what_is_promised(form: str) -> None:
    """As gateways read them: the numbers are those of docs/connectors.md, without slack."""
    shapes = WORST[form] if FACTOR <= 1 else ()
    assert [
        told for cost in costs(int(3_000_000 * max(1, FACTOR)), form, *shapes) if (told := too_much(cost, FREE))
    ] == []
