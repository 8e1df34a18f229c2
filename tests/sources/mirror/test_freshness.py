"""How fresh a copy is, as two fields of one operation see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sources.mirror.freshness import Freshness, fresh

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def held(seconds: int, error: str | None = None) -> Freshness:
    """A copy of this age, when asked now."""
    copy = replace(fresh("stripe", NOW - timedelta(seconds=seconds)), asked_at=NOW)
    return replace(copy, stale=error is not None, error=error)


def test_a_copy_that_is_too_old_is_never_stale_without_a_reason() -> None:
    """One field could not be refreshed; the other found a copy that came meanwhile, too old for the first all the same."""
    newer = held(60).merged(held(100, "stripe could not be read: It is closed."))
    assert newer.as_of == NOW - timedelta(seconds=60)
    late = newer.judged(0)
    assert late.stale
    assert late.error == "stripe could not be read anew in time for this answer."
    assert newer.judged(300).error is None


def test_the_reason_of_the_copy_itself_comes_first() -> None:
    late = held(100).merged(held(100, "It is closed.")).judged(0)
    assert (late.stale, late.error) == (True, "It is closed.")
