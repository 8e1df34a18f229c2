"""Matching: bank transactions of which it is known what they are about (`benchmarks/bankbooks`), through the mirror and the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bankbooks import AWKWARD, CASES, make
from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import claim, figures
from benchmarks.matching_company import company
from benchmarks.matching_verdicts import Verdict, judge, together, total
from benchmarks.measuring import Samples
from benchmarks.tables import rate, table

LINES = 10_000
SEEN = (11,)
UNSEEN = (3391, 8123)
"""Seeds of the books. That of `SEEN` was looked at while the matcher was written; those of `UNSEEN` are to be replaced once they were."""
_QUICK = 50
_MOST_WRONG = 20
_REACH = 99.9

_BODY = """\
A year of one company, made so that it is known what every bank transaction is about (`benchmarks/bankbooks`, which shares nothing with
the matcher): {lines} bank transactions and some {documents} invoices, bills, credit notes, payouts and payroll runs, a tenth of them never
paid. Every fifth time something awkward is made, in one of {cases} ways; some ways make several transactions. Documents come first, then the
bank's weekly statements, then invoices that are late; all of it through the mirror, the pipeline and into the books. A match is right where
it names just the documents, and of each the amount, that the transaction is about; or, of money that came back, the very payment. What is
not certain is proposed, and posts nothing.

Each book is of another seed. {seen} was looked at while the matcher was written, {unseen} were not.

{books}
By what is awkward about them, all books together:

{kinds}
{wrong}
{speed}
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of one book: verdicts by case, and transactions a second, of the whole way and of matching alone."""

    seed: int
    documents: int
    verdicts: Mapping[str, Verdict]
    speed: float
    alone: float

    @property
    def share(self) -> float:
        """Certain ones in a hundred."""
        of_all = total(self.verdicts)
        return 100 * of_all.certain / of_all.lines

    @property
    def right(self) -> float:
        """Right ones in a hundred certain ones."""
        of_all = total(self.verdicts)
        return 100 * of_all.right / of_all.certain


async def measure(bench: Bench) -> Chapter:
    """Every seed once, whatever the rounds; each in a data directory of its own."""
    lines = LINES // _QUICK if bench.quick else LINES
    found = [await _measured(bench, lines, seed) for seed in ((SEEN[0],) if bench.quick else (*SEEN, *UNSEEN))]
    verdicts = together(each.verdicts for each in found)
    speeds, alone = Samples([each.speed for each in found]), Samples([each.alone for each in found])
    body = _BODY.format(
        lines=f"{lines:,}", documents=f"{found[0].documents:,}", cases=len(CASES), books=_books(found), kinds=_kinds(verdicts),
        seen=", ".join(map(str, SEEN)), unseen=" and ".join(map(str, UNSEEN)), wrong=_wrong(verdicts),
        speed=table(("", "/s"), [("transactions mirrored, posted, matched and applied", rate(speeds)),
                                 ("documents that matching looked at, while it does", rate(alone))]),
    )  # fmt: skip
    rights = Samples([each.right for each in found])
    of_books = f"{len(found)} × {lines:,} bank transactions, {100 * AWKWARD:.0f} % awkward"
    claims = [
        claim("matching", f"certain matches that are right; {of_books}", "", rights, unit="%", reach=_REACH),
        claim("matching", "certain matches that are right, in the worst of these books", "", Samples([rights.low]), unit="%", reach=_REACH),
        claim("matching", "bank transactions matched for certain", "", Samples([each.share for each in found]), unit="%"),
        claim("matching", "bank transactions mirrored, posted, matched and applied", "", speeds, unit="/s"),
    ]  # fmt: skip
    return Chapter("Matching", body, figures(claims=claims))


async def _measured(bench: Bench, lines: int, seed: int) -> _Found:
    bench.tell(f"matching: {lines:,} bank transactions, seed {seed}")
    known = make(lines, seed)
    async with company(bench.directory / f"matching-{seed}") as found:
        await found.live(known)
        verdicts = await judge(found.owner, known.known)
        speed, alone = len(known.known) / found.seconds, found.matched / found.matching_seconds
    return _Found(seed, known.documents, verdicts, speed, alone)


def _books(found: Sequence[_Found]) -> str:
    rows = []
    for each in found:
        of_all = total(each.verdicts)
        wrong = of_all.certain - of_all.right
        cells = (
            f"{of_all.lines:,}",
            f"{each.share:.2f} %",
            f"{each.right:.3f} %",
            f"{wrong:,}",
            f"{of_all.proposed:,}",
        )
        rows.append((f"{each.seed}{', unseen' if each.seed in UNSEEN else ''}", *cells))
    return table(("seed", "transactions", "certain", "right, of the certain", "wrong", "proposed"), rows)


def _kinds(verdicts: Mapping[str, Verdict]) -> str:
    awkward = total({case: each for case, each in verdicts.items() if case})
    ordered = sorted((case, each) for case, each in verdicts.items() if case)
    rows = [("not awkward", verdicts[""]), ("awkward", awkward), *((f"· {case}", each) for case, each in ordered)]
    head = ("", "transactions", "certain", "wrong", "proposed", "right as the best proposal", "neither")
    return table(head, [(name, *_counts(each)) for name, each in rows])


def _counts(each: Verdict) -> tuple[str, ...]:
    left = each.lines - each.certain - each.proposed
    certain = f"{each.certain:,} ({100 * each.certain / max(each.lines, 1):.0f} %)"
    return (
        f"{each.lines:,}",
        certain,
        *(f"{count:,}" for count in (each.certain - each.right, each.proposed, each.first, left)),
    )


def _wrong(verdicts: Mapping[str, Verdict]) -> str:
    """Every one, as far as they fit."""
    told = [text for each in verdicts.values() for text in each.wrong]
    more = f"- and {len(told) - _MOST_WRONG} more\n" if len(told) > _MOST_WRONG else ""
    lines = "".join(f"- {text}\n" for text in told[:_MOST_WRONG])
    return f"The wrong ones, with what was matched and what is true:\n\n{lines}{more}" if told else "None is wrong.\n"
