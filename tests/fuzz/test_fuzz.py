"""The harnesses of the fuzzer work: what they begin with is read."""

from __future__ import annotations

import pytest

from tests.fuzz.parsers import HARNESSES


@pytest.mark.parametrize("name", HARNESSES)
def test_a_harness_reads_what_it_begins_with(name: str) -> None:
    harness = HARNESSES[name]
    assert harness.seeds
    for seed in harness.seeds:
        assert harness.parse(seed)
