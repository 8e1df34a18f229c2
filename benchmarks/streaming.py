"""Fan-out: a thousand subscribers of one ledger's postings, beside Strawberry's own subscription handler."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.books import seed
from benchmarks.chapter import Bench, Chapter
from benchmarks.crowd import DIFFERENT, SAME, USERS, crowd
from benchmarks.figures import bars, claim, figures
from benchmarks.measuring import Samples
from benchmarks.processes import gateway, serving
from benchmarks.tables import rate, ratio, table
from gateway.config import Settings
from gateway.openbooks import books

RATE = 30
_SUBSCRIBERS, _QUICK = 1_000, 100
_ACCOUNTS, _ENTRIES = 200, 1_000
_POLLED = 1.5
"""Seconds after which the other process has certainly seen what one posted."""
_OURS, _PEER = "ledgergraph", "Strawberry"
_AHEAD = {_OURS: 200, _PEER: 20}
_AT_ONCE = {_OURS: 20, _PEER: 5}
_PACED = {_OURS: 2.0, _PEER: 0.5}
"""Turns for which entries are posted one by one: Strawberry receives them long after."""


@dataclass(slots=True)
class Found:
    """Of one contestant, a number a round: messages a second, and seconds from a posting to its arrival."""

    same: Samples = field(default_factory=Samples)
    different: Samples = field(default_factory=Samples)
    p50: Samples = field(default_factory=Samples)
    p99: Samples = field(default_factory=Samples)
    messages: int = 0


async def measure(bench: Bench) -> Chapter:
    """Each contestant serves alone while it is measured; who is first changes from round to round."""
    data = bench.directory / "streaming"
    async with books(Settings(data_dir=data)) as opened:
        await seed(opened, _ACCOUNTS, _ENTRIES, lambda _: None)
    await _check(bench, data)
    found = {name: Found() for name in (_OURS, _PEER)}
    for number in range(bench.rounds):
        for name in list(found) if number % 2 == 0 else reversed(found):
            bench.tell(f"streaming: {name}")
            await _turn(bench, data, name, found[name])
    return _chapter(found, _count(bench))


def _count(bench: Bench) -> int:
    return _QUICK if bench.quick else _SUBSCRIBERS


def _command(name: str, data: Path) -> list[str]:
    return gateway(data) if name == _OURS else [sys.executable, "-m", "benchmarks.strawberry_peer", str(data)]


async def _turn(bench: Bench, data: Path, name: str, found: Found) -> None:
    async with serving(_command(name, data), bench.directory / f"{name}.log") as port:
        for watched, samples in ((SAME, found.same), (DIFFERENT, found.different)):
            async with crowd() as subscribers:
                await subscribers.open(port, data, watched, _count(bench))
                full = await subscribers.do("saturate", seconds=bench.seconds, size=_AT_ONCE[name], window=_AHEAD[name])
                samples.values.append(full["messages"] / full["seconds"])
                found.messages += full["messages"]
                if watched is SAME:
                    paced = await subscribers.do("pace", seconds=bench.seconds * _PACED[name], rate=RATE)
                    found.p50.values.append(paced["p50"])
                    found.p99.values.append(paced["p99"])
                    found.messages += paced["messages"]
                await subscribers.do("close")


async def _check(bench: Bench, data: Path) -> None:
    """Raises RuntimeError unless both send the same for the same postings: each of the subscriptions, side by side."""
    async with (
        serving(_command(_OURS, data), bench.directory / "check.log") as one,
        serving(_command(_PEER, data), bench.directory / "check-peer.log") as other,
        crowd() as mine,
        crowd() as its,
    ):
        await its.open(other, data, DIFFERENT, len(DIFFERENT), posting=False)
        await mine.open(one, data, DIFFERENT, len(DIFFERENT))
        await mine.do("saturate", seconds=0.5, size=1, window=1)
        await asyncio.sleep(_POLLED)
        events, expected = await its.do("events"), await mine.do("events")
        for subscribers in (mine, its):
            await subscribers.do("close")
    differ = [pair for pair in zip(expected, events, strict=True) if pair[0]["payload"] != pair[1]["payload"]]
    if differ:
        raise RuntimeError(f"{len(differ)} subscriptions are sent something else by the peer: {differ[0]}")


def _chapter(found: Mapping[str, Found], count: int) -> Chapter:
    ours, peer = found[_OURS], found[_PEER]
    faster, share = ours.same.over(peer.same), ours.different.over(ours.same)
    late = Samples([seconds * 1000 for seconds in ours.p99.values])
    name = f"{count:,} subscribers"
    claims = [
        claim(
            "S1", f"{name} of one selection, saturated", "", ours.same, unit=" messages/s", reach=60_000, aim="100,000"
        ),
        claim("S1", f"{name} of one selection, saturated", "Strawberry's handler", faster),
        claim("S1", f"p99 from commit to client, {RATE} postings/s", "", late, unit=" ms", reach=50, at_most=True),
        claim("S2", f"{name}, {len(DIFFERENT)} selections and filters", "S1", share, reach=0.5),
    ]
    chart = bars("Messages a second to 1,000 subscribers", "messages/s", {_OURS: ours.same, _PEER: peer.same})
    return Chapter("Streaming", _body(found, count), figures(claims=claims, bars=[chart]))


def _body(found: Mapping[str, Found], count: int) -> str:
    ours, peer = found[_OURS], found[_PEER]
    rows = [
        ["one selection, saturated", rate(ours.same), rate(peer.same), ratio(ours.same.over(peer.same))],
        [
            f"{len(DIFFERENT)} selections and filters, saturated",
            rate(ours.different),
            rate(peer.different),
            ratio(ours.different.over(peer.different)),
        ],
        [f"p50 at {RATE} postings/s, ms", _milliseconds(ours.p50), _milliseconds(peer.p50), ""],
        [f"p99 at {RATE} postings/s, ms", _milliseconds(ours.p99), _milliseconds(peer.p99), ""],
    ]
    return f"""{count:,} WebSocket subscribers (graphql-transport-ws) of one ledger, from {USERS} callers, each operation with an id of its own.
A message is one event that one of them received. The subscribers are one process of bare protocols; it also posts, through
HTTP. Every message is checked: each subscriber receives exactly what was posted and passes its filter, in order, with the
same bytes for the same subscription; {ours.messages:,} and {peer.messages:,} messages were. Before, both contestants sent the same
events for the same postings, each of the {len(DIFFERENT)} subscriptions compared.

Strawberry's handler is in its fairest shape (`benchmarks/strawberry_peer.py`): the same server and postings, each entry read
once for all, plain attributes, no authentication, no history, no bound on what waits for a reader.

Saturated: as soon as fewer than {_AHEAD[_OURS]} entries ({_AHEAD[_PEER]} for Strawberry, which would fall behind by minutes) are on their
way to somebody, more are posted, {_AT_ONCE[_OURS]} ({_AT_ONCE[_PEER]}) at once; until all have arrived. The times are from `postedAt`, which is set
before the commit, to the arrival at each subscriber.

{table(["messages a second", _OURS, _PEER, "ratio"], rows)}"""


def _milliseconds(samples: Samples) -> str:
    return rate(Samples([seconds * 1000 for seconds in samples.values]))
