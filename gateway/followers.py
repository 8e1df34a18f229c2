"""Who follows a ledger's events, and where they stand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from gateway.pages import SOMEONE, Chunk, Subscription
from gateway.requests import Sink
from sources.feed import Position

log = structlog.get_logger(__name__)

_LOGGED = 100


@dataclass(slots=True, eq=False)
class Follower:
    """One subscription. `aside`: done when its reader takes no more, failed when its stream did."""

    sink: Sink
    request_id: str
    position: Position
    aside: asyncio.Future[None] | None = None

    def take(self, chunks: list[Chunk]) -> bool:
        """Whether its reader took all of them; its position is behind what it took."""
        for chunk in chunks:
            if chunk.results.bodies and not self.sink.offer(chunk.results_for(self.request_id)):
                self.step_aside()
                return False
            self.position = chunk.end
        return True

    def step_aside(self, error: Exception | None = None) -> None:
        if self.aside is not None and not self.aside.done():
            self.aside.set_result(None) if error is None else self.aside.set_exception(error)


@dataclass(slots=True, eq=False)
class Group:
    """Followers of one ledger with the same selection and filter, by where they stand."""

    subscription: Subscription
    standing: dict[Position, set[Follower]] = field(default_factory=dict)

    def stand(self, followers: set[Follower], position: Position) -> None:
        if followers:
            there = self.standing.setdefault(position, followers)
            there |= followers

    def leave(self, follower: Follower) -> None:
        there = self.standing.get(follower.position)
        if there is not None:
            there.discard(follower)
            if not there:
                del self.standing[follower.position]

    def publish(self, position: Position, chunks: list[Chunk]) -> None:
        """What was read behind a position, to all who stand there."""
        followers = self.standing.pop(position, set())
        if any(chunk.failed for chunk in chunks):
            asked = sorted(follower.request_id for follower in followers)
            log.warning("events have errors", logged_as=SOMEONE, subscribers=asked[:_LOGGED])
        self.stand({follower for follower in followers if follower.take(chunks)}, chunks[-1].end)

    def fail(self, position: Position, error: Exception) -> None:
        for follower in self.standing.pop(position, ()):
            follower.step_aside(error)
