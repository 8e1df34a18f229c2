"""What the posting contest amounts to: its text, and its figures for the summary and the charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Claim, Curves, bars, claim, figures
from benchmarks.load import Result
from benchmarks.measuring import Samples
from benchmarks.tables import number, rate, ratio, table, times

if TYPE_CHECKING:
    from benchmarks.posting import Case, Mark

OURS, OTHER = "group commit", "transaction per mutation"
FLAT = 0.9
"""The last part of a growing ledger is posted at no less than so much of the first part's rate."""
_AIM = 12_000


def describe(case: Case) -> str:
    mutation = "postEntry" if case.entries == 1 else f"postEntries of {case.entries}"
    return f"{mutation}, {case.clients} clients"


def numbers(cases: Sequence[Case], marks: Sequence[Mark]) -> dict[str, list[dict[str, Any]]]:
    claims = [item for case in cases for item in _claims(case)]
    shown = [
        bars(
            f"{describe(case)}: entries a second",
            "entries/s",
            {f"{name}{', hot' if hot else ''}": samples for (name, hot), samples in case.rates.items()},
        )
        for case in cases
    ]
    growth = Curves(
        "A ledger that grows under one process",
        "entries in the ledger",
        "entries/s",
        {
            "postEntries": [(float(mark.entries), mark.rate) for mark in marks],
            "postEntry": [(float(mark.entries), mark.single.answers / mark.single.seconds) for mark in marks],
        },
    )
    return figures(claims=[*claims, _flatness(marks)], bars=shown, curves=[growth])


def _claims(case: Case) -> list[Claim]:
    """What P1 and P2 set for single postings; postings of many are one transaction in both contestants."""
    ours, hot = case.rates[OURS, False], case.rates[OURS, True]
    single = case.entries == 1
    found = [claim("P2", f"{describe(case)}, two hot accounts", "spread accounts", hot.over(ours), reach=0.9, aim="1×")]
    if single:
        against = ours.over(case.rates[OTHER, False])
        return [claim("P1", describe(case), OTHER, against, reach=4.0), *found]
    return [claim("P1", describe(case), "", ours, unit="entries/s", aim=f"{_AIM:,}"), *found]


def _flatness(marks: Sequence[Mark]) -> Claim:
    part = max(1, len(marks) // 5)
    first, last = Samples([it.rate for it in marks[:part]]), Samples([it.rate for it in marks[-part:]])
    grown = last.over(first)
    operation = f"entries/s of the last fifth of {marks[-1].entries:,} entries"
    return claim("P1 growth", operation, "the first fifth", grown, reach=FLAT)


def text(cases: Sequence[Case], marks: Sequence[Mark], beside: tuple[Result, Result], posted: int) -> str:
    alone, among = beside
    return f"""`ledgergraph serve` beside the same gateway with one call of `ledger.post_entries`, so one transaction, for each mutation as
it comes (`benchmarks/baseline.py`). One process each; the other is idle meanwhile. Each entry has 2 to 4 lines with a
dimension, one in ten is in a foreign currency; they are on all accounts (spread) or on two of them (hot). The answer gives
each entry's sequence. A `postEntries` without group commit is one transaction too.

{table(_HEADER, [_row(case) for case in cases])}
p50 and p99 in milliseconds, of the last round on spread accounts. At the end the ledger's sequence was as high as the entries
that it had before and the {posted:,} that were acknowledged, and its books balanced.

### A ledger that grows from empty

One process, one ledger, `postEntries` by 16 clients; at each mark, for a moment, single `postEntry` by as many. At the end the
ledger's sequence was the number of acknowledged entries, and its books balanced.

{table(_GROWTH, [_grown(mark) for mark in marks])}
### Single postings beside large ones

4 clients post one entry at a time, alone and while 8 others post 1,000 at a time: p50 {_milliseconds(alone.p50)} and p99
{_milliseconds(alone.p99)} alone, p50 {_milliseconds(among.p50)} and p99 {_milliseconds(among.p99)} beside the others.
"""


_HEADER = (
    "mutation",
    "group commit, entries/s",
    "transaction per mutation, entries/s",
    "ratio",
    "group commit, hot, entries/s",
    "hot / spread",
    "p50, p99: ours",
    "p50, p99: other",
)
_GROWTH = ("entries", "postEntries, entries/s", "postEntry, entries/s", "postEntry, p50, p99 in ms")


def _row(case: Case) -> tuple[str, ...]:
    ours, other, hot = case.rates[OURS, False], case.rates[OTHER, False], case.rates[OURS, True]
    return (
        describe(case),
        rate(ours),
        rate(other),
        ratio(ours.over(other)),
        rate(hot),
        f"{hot.over(ours).median:.2f}",
        times(case.last[OURS, False]),
        times(case.last[OTHER, False]),
    )


def _grown(mark: Mark) -> tuple[str, ...]:
    return (
        f"{mark.entries:,}",
        number(mark.rate),
        number(mark.single.answers / mark.single.seconds),
        times(mark.single),
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
