"""The chapters of the benchmarks, in the order of the page: by name the module whose `measure` measures it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from benchmarks.chapter import Measure

CHAPTERS: Mapping[str, str] = {
    "execution": "benchmarks.execution",
    "reading": "benchmarks.reading",
    "sources": "benchmarks.sources",
    "posting": "benchmarks.posting",
    "streaming": "benchmarks.streaming",
    "growth": "benchmarks.growth",
    "memory": "benchmarks.memory",
    "documents": "benchmarks.documents",
    "matching": "benchmarks.matching",
    "openitems": "benchmarks.openitems",
    "statements": "benchmarks.statements",
    "files": "benchmarks.files",
    "limits": "benchmarks.limits",
}


def measure_of(name: str) -> Measure:
    """A chapter's `measure`; KeyError for an unknown name."""
    measure: Measure = import_module(CHAPTERS[name]).measure
    return measure
