"""Asking for several records, each by itself, so that one that the source cannot give stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from sources.connectors.http import SourceRefused
from sources.errors import SourceUnavailable

T = TypeVar("T")

_OF_ALL = frozenset({401, 403, 407, 408})
"""Refusals that are about whoever asks, and not about one record."""


async def each(calls: Iterable[Awaitable[T]]) -> list[T | SourceUnavailable]:
    """As `outcomes`; where none succeeded it is the source that fails, and the first failure is raised."""
    found = await outcomes(calls)
    failures = [outcome for outcome in found if isinstance(outcome, SourceUnavailable)]
    if failures and len(failures) == len(found):
        raise failures[0]
    return found


async def outcomes(calls: Iterable[Awaitable[T]]) -> list[T | SourceUnavailable]:
    """All results, in order, with the failure in the place of one that failed. What is no failure of one record ends the others and is
    raised."""
    tasks = [asyncio.ensure_future(_outcome(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _outcome(call: Awaitable[T]) -> T | SourceUnavailable:
    try:
        return await call
    except SourceUnavailable as failure:
        if is_of_all(failure):
            raise
        return failure


def is_of_all(failure: SourceUnavailable) -> bool:
    """Whether it would be the same for every record."""
    return isinstance(failure, SourceRefused) and failure.status in _OF_ALL
