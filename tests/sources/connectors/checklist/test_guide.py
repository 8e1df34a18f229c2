"""docs/connectors.md, "Adding a connector": its connector passes the checklist by its own subject, both as they are printed."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sources.connectors.kinds import ConnectorKind
from tests.sources.connectors.checklist import test_apis as checklist
from tests.sources.connectors.checklist.meddling import LASTING, TRANSIENT
from tests.sources.connectors.checklist.subjects import Subject

GUIDE = Path(__file__).parents[4] / "docs" / "connectors.md"


def _module(name: str, file: Path, text: str) -> ModuleType:
    file.write_text(text)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    chapter = GUIDE.read_text().partition("## Adding a connector")[2]
    connector, subject = re.findall(r"```python\n(.*?)```", chapter, flags=re.DOTALL)
    folder = tmp_path_factory.mktemp("guide")
    try:
        kind = _module("sources.connectors.folio", folder / "folio.py", connector).KIND
        assert isinstance(kind, ConnectorKind)
        found = _module("subject_folio", folder / "subject_folio.py", subject).SUBJECT
        assert isinstance(found, Subject)
        assert found.kind == kind.name
        yield found
    finally:
        for name in ("sources.connectors.folio", "subject_folio"):
            sys.modules.pop(name, None)


async def test_it_reads_what_there_is(folio: Subject) -> None:
    await checklist.test_all_pages_are_read(folio)
    await checklist.test_what_is_new_changed_and_gone_is_seen_by_the_next_pull(folio)
    await checklist.test_a_pull_that_is_broken_off_is_gone_on_with(folio)
    await checklist.test_two_pulls_at_once_do_not_disturb_each_other(folio)
    for cursor in ("", "x", "9" * 50):
        await checklist.test_a_cursor_that_is_none_of_its_own_begins_anew(folio, cursor)
    assert folio.dated is not None
    assert all(folio.dated(written) == day for written, day in folio.moments)


@pytest.mark.parametrize("fault", ["429, seconds", "503", "reset within the body"])
async def test_what_passes_costs_it_nothing(folio: Subject, fault: str) -> None:
    await checklist.test_what_passes_costs_nothing(folio, TRANSIENT[fault])


@pytest.mark.parametrize("fault", ["500", "half the JSON", "too large", "an object", "404"])
async def test_what_lasts_is_told(folio: Subject, fault: str) -> None:
    await checklist.test_what_lasts_is_told_and_loses_nothing(folio, LASTING[fault])


async def test_no_value_harms_it(folio: Subject) -> None:
    await checklist.test_no_value_of_an_answer_makes_a_wrong_document_or_harms_another(folio)
