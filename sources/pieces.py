"""Long work of the event loop in short pieces, so that who waits for an answer waits for a piece of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

PIECE: Final = 20
"""Documents that are read, mapped or planned before the event loop is free for others: some two milliseconds."""


async def in_pieces(items: Iterable[T], size: int = PIECE) -> AsyncIterator[T]:
    """The items; after each `size` of them the event loop is free for others."""
    for number, item in enumerate(items):
        if number and number % size == 0:
            await asyncio.sleep(0)
        yield item
