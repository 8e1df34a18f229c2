"""What the chapter on the limits says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.figures import claim, figures
from benchmarks.measuring import Samples
from benchmarks.profiles import Profile
from benchmarks.tables import rate, table

EMPTY, KEPT, EXECUTED = "an empty route", "kept", "executed"
PGBENCH = "pgbench"
COPY, POSTED = "COPY", "posted"

Served = Mapping[str, Mapping[str, Samples]]
Read = Mapping[str, tuple[int, Mapping[str, Samples]]]
Posted = Mapping[str, Samples]


def text(
    served: Served,
    read: Read,
    posted: Posted,
    profiled: Mapping[str, Profile],
    *,
    clients: int,
    connections: int,
    batch: int,
) -> str:
    return f"""How far our answers are from what the parts below us give alone. In each table the contestants take turns; a share is the
median of the shares of the rounds, so 50 % means: half as often as the limit.

### An empty ASGI route

`benchmarks/bare.py`: the gateway's own server (uvicorn, uvloop, httptools, the same settings), an application that reads the
body and answers with as many bytes. {clients} clients. Ours check a token and limits, log and count; kept answers still ask the
database for the ledger's version, once for all who want to know at one moment. `executed` reads for each request alone.

{_served(served)}
### pgbench on the same statements

The statements that an answer takes, as the driver sends them, without the beginning and the end of the transaction around
them; prepared, {connections} connections, as many as a gateway has for reading. pgbench is written in C and throws the rows away.

{_read(read)}
### COPY

Entries and lines of the same shape, keys, constraints and indexes, copied {batch} entries a transaction on one connection; no
foreign keys, triggers, balances, idempotency or hash chain. Ours: `postEntries` of {batch} through HTTP, {clients} clients.

{_posted(posted)}
### Where the time goes

{_profiles(profiled, clients)}"""


def numbers(served: Served, read: Read, posted: Posted) -> dict[str, Any]:
    """For the summary."""
    beside = [
        (f"{title.partition(' (')[0]}, kept", "an empty ASGI route", rates[KEPT].over(rates[EMPTY]))
        for title, rates in served.items()
    ]
    beside += [
        (f"{title}, executed", "pgbench", rates[EXECUTED].over(rates[PGBENCH])) for title, (_, rates) in read.items()
    ]
    beside.append(("posting entries", "COPY", posted[POSTED].over(posted[COPY])))
    claims = [
        claim("limit", what, limit, Samples([100 * share for share in shares.values]), unit="%")
        for what, limit, shares in beside
    ]
    return figures(claims=claims)


def _served(served: Served) -> str:
    rows = [
        (title, *(cell for name in (EMPTY, KEPT, EXECUTED) for cell in _beside(rates, name, EMPTY)))
        for title, rates in served.items()
    ]
    return table(("answer", "empty route, answers/s", "kept", "share", "executed", "share"), rows)


def _read(read: Read) -> str:
    rows = [
        (title, str(count), *(cell for name in (PGBENCH, EXECUTED, KEPT) for cell in _beside(rates, name, PGBENCH)))
        for title, (count, rates) in read.items()
    ]
    header = ("question", "statements", "pgbench, runs/s", "executed, answers/s", "share", "kept, answers/s", "share")
    return table(header, rows)


def _posted(posted: Posted) -> str:
    row = (rate(posted[COPY]), rate(posted[POSTED]), _share(posted[POSTED].over(posted[COPY])))
    return table(("COPY, entries/s", "posted, entries/s", "share"), [row])


def _beside(rates: Mapping[str, Samples], name: str, limit: str) -> Sequence[str]:
    cells = [rate(rates[name])]
    return cells if name == limit else [*cells, _share(rates[name].over(rates[limit]))]


def _share(samples: Samples) -> str:
    return f"**{100 * samples.median:.0f} %**"


def _profiles(profiled: Mapping[str, Profile], clients: int) -> str:
    if not profiled:
        return "Left out: py-spy is not installed here.\n"
    how = f"""py-spy's samples of the gateway's main thread under {clients} clients: by what the code is for, then the innermost
frames. Time in C counts for the Python that called it. The cores are shared, so that a socket is written to for as long as
the database or the load generator, woken by it, takes the core.
"""
    parts = []
    for name, profile in profiled.items():
        groups = ", ".join(f"{group} {100 * share:.0f} %" for group, share in profile.groups if share >= 0.01)
        frames = "; ".join(f"`{frame}` {100 * share:.0f} %" for frame, share in profile.frames)
        parts.append(f"- **{name}** ({profile.samples} samples): {groups}.\n  {frames}.\n")
    return f"{how}\n{''.join(parts)}"
