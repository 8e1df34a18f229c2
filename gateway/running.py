"""Running asynchronous work in a process of its own until it is done or a signal stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

BOTH = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal ended the work before it was done; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


def run_until_stopped(
    work: Callable[[], Coroutine[Any, Any, Result]], signals: tuple[signal.Signals, ...] = BOTH
) -> Result:
    """The work's result. One of `signals` cancels it, and it cleans up; then Stopped is raised. Work that installs handlers
    of its own decides itself from then on."""
    main = _until_stopped(work, signals)
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    return uvloop.run(main)


async def _until_stopped(
    work: Callable[[], Coroutine[Any, Any, Result]], signals: tuple[signal.Signals, ...]
) -> Result:
    task = asyncio.ensure_future(work())
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        task.cancel()

    if sys.platform != "win32":
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise Stopped(received[0]) from None
