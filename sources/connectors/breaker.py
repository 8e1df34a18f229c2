"""A circuit breaker: a source that keeps failing is left alone for a while, so that asking for it costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from sources.errors import SourceUnavailable


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Opens after `failures` failures in a row; after `rest_seconds` one probe is let through, whose outcome decides.

    Every `enter` that returns is followed by exactly one of `succeeded`, `failed` and `released`."""

    def __init__(
        self, subject: str, *, failures: int, rest_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._subject = subject
        self._limit = failures
        self._rest = rest_seconds
        self._clock = clock
        self._failures = 0
        self._reason = ""
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Half-open: the rest is over, and the next caller is the probe."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._remaining() <= 0 else BreakerState.OPEN

    @property
    def probing(self) -> bool:
        """A probe is under way."""
        return self._probing

    def enter(self) -> None:
        """Raises SourceUnavailable with the last failure's reason while the circuit is open or a probe is under way."""
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._probing):
            raise SourceUnavailable(
                f"{self._subject} failed {self._failures} times in a row and is not asked again for "
                f"{max(self._remaining(), 1):.0f} s; the last failure: {self._reason}"
            )
        self._probing = state is BreakerState.HALF_OPEN

    def succeeded(self) -> None:
        self._failures = 0
        self._opened_at = None
        self._probing = False

    def failed(self, reason: str) -> None:
        self._failures += 1
        self._reason = reason
        self._probing = False
        if self._failures >= self._limit:
            self._opened_at = self._clock()

    def released(self) -> None:
        """The attempt ended without telling anything about the source (its caller went away)."""
        self._probing = False

    def _remaining(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + self._rest - self._clock()
