"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from benchmarks.books import HOT_ACCOUNTS, PAST_DAY
from benchmarks.execution import CLIENTS, Reading, Served
from benchmarks.posting import Posting, describe
from benchmarks.surroundings import Surroundings
from benchmarks.tables import rate, ratio, table, times


@dataclass(frozen=True, slots=True)
class Results:
    command: str
    accounts: int
    entries: int
    rounds: int
    seconds: float
    load_after: float
    surroundings: Surroundings
    readings: Sequence[Reading]
    served: Sequence[Served]
    local: Sequence[Posting]
    posted: Sequence[Posting]
    acknowledged: int


def page(results: Results) -> str:
    parts = [_introduction(results), _reading(results), _http(results), _posting(results), _local(results)]
    return "\n".join([*parts, _surroundings(results)])


def _introduction(results: Results) -> str:
    return f"""# Benchmarks

Written by `{results.command}` on {date.today()}. Compare the ratios: both sides of each ran in the same run, on the same
machine and database, taking turns. The machine is shared with other work, so that absolute numbers move from run to run.

Every rate is the median of {results.rounds} rounds of {results.seconds:g} s, with the lowest and the highest round in
brackets; a ratio is the median of the ratios of the rounds; p50 and p99 are the last round's. The ledger has {results.accounts} accounts and
{results.entries:,} seeded entries with 2 to 6 lines, vacuumed and analysed once, before the first round.
"""


def _reading(results: Results) -> str:
    rows = [
        (
            item.document.title,
            rate(item.rates["planned"]),
            rate(item.rates["other"]),
            ratio(item.rates["planned"].over(item.rates["other"])),
            rate(item.rates["kept"]),
            " / ".join(str(item.statements[name]) for name in ("planned", "other", "kept")),
            f"{len(item.answer):,}",
        )
        for item in results.readings
    ]
    header = (
        "document",
        "planned, answers/s",
        "field by field, answers/s",
        "ratio",
        "kept, answers/s",
        "statements",
        "bytes",
    )
    return f"""## Reading in one process

Planned execution (`Engine.prepare` and `run`: the plan is kept, variables are bound) beside graphql-core, field by field
(`gateway/reference.py`: parsed and executed each time, not validated, each field of each parent asks alone). Same
process, same database, one answer after the other. Before the timing, all gave the same bytes. `planned` executes every
time (`answer_cache_bytes` and `fragment_cache_bytes` 0); `kept` is the same document asked again while the ledger stays as it is, with the default
settings: it reads the ledger's version and sends the text that it has. Statements: planned / field by field / kept.

{table(header, rows)}
The last document has no N+1: its ratio is what the executor itself costs.
"""


def _http(results: Results) -> str:
    rows = [
        (
            item.document.title,
            *(cell for name in ("planned", "kept") for cell in (rate(item.rates[name]), times(item.last[name]))),
        )
        for item in results.served
    ]
    header = ("document", "executed, answers/s", "p50, p99 in ms", "kept, answers/s", "p50, p99 in ms")
    return f"""## Reading through HTTP

`ledgergraph serve`, one process: tokens checked, limits on, requests logged. {CLIENTS} clients on connections that are kept.
Every answer was compared with the one above. `executed` and `kept` as above; both gateways ran, one at work at a time.

{table(header, rows)}"""


def _posting(results: Results) -> str:
    rows = [
        (
            describe(item.scenario),
            rate(item.ours),
            rate(item.other),
            ratio(item.ours.over(item.other)),
            " / ".join(times(item.last[name]) for name in ("ours", "other")),
        )
        for item in results.posted
    ]
    header = (
        "mutation",
        "group commit, entries/s",
        "transaction per mutation, entries/s",
        "ratio",
        "p50, p99 in ms: ours / other",
    )
    return f"""## Posting through HTTP

`ledgergraph serve` beside the same gateway with one call of `ledger.post_entries`, so one transaction, for each mutation as
it comes (`benchmarks/baseline.py`). One process each; the other is idle meanwhile. Each entry has 2 to 6 lines, on all
accounts or on {HOT_ACCOUNTS}; the answer gives its sequence. A `postEntries` without group commit is one transaction too.

{table(header, rows)}
At the end the ledger's sequence was as high as the entries that were seeded and the {results.acknowledged:,} that were
acknowledged here and below, and its books balanced.
"""


def _local(results: Results) -> str:
    rows = [
        (describe(item.scenario), rate(item.ours), rate(item.other), ratio(item.ours.over(item.other)))
        for item in results.local
    ]
    header = ("mutation", "planned, entries/s", "field by field, entries/s", "ratio")
    return f"""## Posting in one process

Planned execution beside graphql-core, without HTTP; clients are tasks, and both sides post by group commit.

{table(header, rows)}"""


def _surroundings(results: Results) -> str:
    found = results.surroundings
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    return f"""## Surroundings

- Machine: {found.machine}; shared. Load average {found.load_before:.1f} before, {results.load_after:.1f} after. Gateways,
  database and load generator have these cores together.
- A durable write of 8 KiB takes {found.sync * 1000:.2f} ms here (median).
- Code: {found.code} (a hash over gateway, resolvers, sources and benchmarks), unchanged from beginning to end.
- Versions: {versions}.
- PostgreSQL embedded, with the product's settings: {settings}.
- Gateway: default settings, one worker. Balances and trial balance are as of {PAST_DAY}.
- Load generator: a process of its own, asyncio streams on uvloop, each client waits for its answer before it asks again.
"""
