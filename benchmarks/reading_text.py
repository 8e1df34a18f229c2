"""What the reading contest amounts to: its text, and its figures for the summary and the charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Claim, bars, claim, figures
from benchmarks.tables import rate, ratio, table, times

if TYPE_CHECKING:
    from benchmarks.reading import Answers

POSTGRAPHILE = "PostGraphile"
GUARDED = "PostGraphile, guarded"
EXECUTED, GATHERED, ENTRIES_KEPT, ANSWERS_KEPT = "executed", "gathered", "entries kept", "answers kept"
_REACH: Mapping[str, Sequence[tuple[str, str, float | None, str]]] = {
    "Q1": [(EXECUTED, "cold", 2.5, "3×"), (ENTRIES_KEPT, "warm", 10, "15×")],
    "Q2": [(EXECUTED, "alone", 3.5, "5×"), (GATHERED, "gathered", 3.5, "5×"), (ANSWERS_KEPT, "kept", 3.5, "5×")],
    "Q3": [(EXECUTED, "", 2.5, ""), (ANSWERS_KEPT, "kept", None, "10×")],
    "Q4": [(EXECUTED, "cold", 3.5, "4×"), (ENTRIES_KEPT, "warm", 10, "15×")],
}
"""By question: the contestant, the case, the ratio to reach and the one to aim for."""


def numbers(answers: Sequence[Answers]) -> dict[str, list[dict[str, Any]]]:
    claims = [item for answer in answers for item in _claims(answer)]
    shown = [bars(f"{it.question.name}: {it.question.title}", "answers/s", it.rates) for it in answers]
    return figures(claims=claims, bars=shown)


def _claims(answer: Answers) -> list[Claim]:
    found = []
    for contestant, case, reach, aim in _REACH[answer.question.name]:
        for peer in (POSTGRAPHILE, GUARDED):
            samples = answer.rates[contestant].over(answer.rates[peer])
            name = f"{answer.question.name} {case}".strip()
            found.append(claim(name, answer.question.title, peer, samples, reach=reach, aim=aim))
    return found


def text(
    answers: Sequence[Answers], statements: Mapping[str, Mapping[str, int]], versions: Mapping[str, str], clients: int
) -> str:
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    return f"""{clients} clients, each on a connection that is kept, each waiting for its answer before it asks again. One process each; all
on one database, one at work at a time, in turns. Before its turns each was asked for some seconds, so that compilers and
caches are warm, and all had given the same facts: every number and text was compared, amounts as decimals. While they are
timed, each answer has to be the same bytes again.{_in_turn(answers)}

- `executed`: `ledgergraph serve` that reads for each request alone (`reading_group` 1) and keeps nothing (`answer_cache_bytes`
  and `fragment_cache_bytes` 0).
- `gathered`: it keeps nothing either, and reads in groups, as by default: requests that differ in nothing but the object they
  ask for, and come while others like them are being read, share the next reading, as postings share a commit. What each gets
  was read after it came. It takes many clients to gain by it; one alone gets what `executed` gives. Only a question that is
  asked in variations shows it: where all clients send one request, they would share one answer.
- `entries kept`: it reads for each request alone, and keeps the texts of posted entries (`answer_cache_bytes` 0); these entries
  were asked for before.
- `answers kept`: its default settings, and the ledger has not moved since the same was asked. Whether it has, the database is
  asked each time, once for all who want to know at one moment.
- `PostGraphile`: {said}. Production settings, no IDE, lists without cursors, answers written as strings,
  prepared statements, plans kept, as many connections as serve it best (4, guarded 7); tables and relations alone, and SQL
  functions over the month and day rows for the sums (ours reads year rows too). It checks no token, sets nothing for
  row-level security and needs no transaction; amounts are the tables' minor units. All of that is in its favour.
- `PostGraphile, guarded`: the same with what ours always has: the token of each request is verified, and its ledgers are
  settings of the request's transaction, for the same row-level security.

{table(_HEADER, [row for answer in answers for row in _rows(answer, statements[answer.question.name])], left=2)}
"""


def _in_turn(answers: Sequence[Answers]) -> str:
    """Which questions are not one request, sent again and again."""
    return "".join(
        f" {it.question.name} is asked in {len(it.question.variations)} variations (of another account each), which the "
        "clients send in turn; their bytes are the mean."
        for it in answers
        if len(it.question.variations) > 1
    )


_HEADER = (
    "question",
    "asked of",
    "answers/s",
    "beside PostGraphile",
    "beside guarded",
    "p50, p99 in ms",
    "bytes",
    "statements",
)


def _rows(answer: Answers, statements: Mapping[str, int]) -> list[tuple[str, ...]]:
    return [
        (
            f"{answer.question.name}: {answer.question.title}" if number == 0 else "",
            contestant,
            rate(samples),
            *(
                "" if contestant == peer else ratio(samples.over(answer.rates[peer]))
                for peer in (POSTGRAPHILE, GUARDED)
            ),
            times(answer.last[contestant]),
            f"{answer.sizes[contestant]:,}",
            str(statements.get(contestant, "")),
        )
        for number, (contestant, samples) in enumerate(answer.rates.items())
    ]
