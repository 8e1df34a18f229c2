"""Rules are read beside the event loop, and only so many and so large ones."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.rulefiles import read_text
from sources.errors import ConfigurationError, Overloaded
from sources.mapping.compiled import RuleSet
from sources.mapping.model import InvalidRules
from sources.mapping.rules import MAX_TEXT, load
from sources.pipeline import rulebook
from sources.pipeline.rulebook import MOST_WAITING, RuleLoader
from tests.sources.pipeline.company import rules


async def test_the_event_loop_is_free_while_rules_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends when the loop says so: it would wait for ever if it held the loop up. Others wait, and one too many is told."""
    go, threads = threading.Event(), set()

    def slow(text: str, name: str, starter: str | None) -> RuleSet:
        threads.add(threading.current_thread())
        go.wait()
        return load(text, name, starter)

    monkeypatch.setattr(rulebook, "load", slow)
    loader = RuleLoader()
    reading = [asyncio.ensure_future(loader.load(rules(), str(number))) for number in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await loader.load(rules(), "one too many")
    go.set()
    assert [each.file for each in await asyncio.gather(*reading)] == [str(number) for number in range(MOST_WAITING)]
    assert len(threads) == 1
    assert threading.current_thread() not in threads


async def test_a_text_is_read_once() -> None:
    loader = RuleLoader()
    assert await loader.load(rules()) is await loader.load(rules())
    assert await loader.load(rules()) is not await loader.load(rules(), "other")


async def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidRules, match="at most 1,000,000 characters"):
        await RuleLoader().load("#" * (MAX_TEXT + 1))


def test_no_more_of_a_file_is_read_than_rules_may_have() -> None:
    with pytest.raises(ConfigurationError, match="at most 1,000,000 characters"):
        read_text(Path("/dev/zero"))


def test_a_file_with_mistakes_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "us.toml"
    for content, message in (
        (b'[[rules]]\nname = "x"\nkind = "bill"\n', "us.toml:3"),
        (b"\xff", "must be UTF-8"),
        (b"[", "is no TOML"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=message):
            read_text(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_text(tmp_path)
