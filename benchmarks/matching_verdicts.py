"""What became of bank transactions, beside what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from benchmarks.bankbooks import Known

Parts = Mapping[tuple[str, str], int]
"""As of a truth: (kind, external id) of a document -> minor units of it."""

_FOUND = """
SELECT m.external_id, m.status, m.score, a.kind, a.external_id AS document, a.amount
FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
WHERE m.status IN ('CERTAIN', 'PROPOSED') ORDER BY m.external_id, m.status, m.score DESC, m.match_id"""
_TOLD = ("invoice", "payment", "payroll_run", "bank_transaction")


@dataclass(slots=True)
class Verdict:
    """How many transactions of a case there are, were matched for certain, rightly so, were only proposed, and had the right match as
    the one best proposal; `wrong`: certain matches that are not right, in words."""

    lines: int = 0
    certain: int = 0
    right: int = 0
    proposed: int = 0
    first: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Another one's, on top."""
        self.lines += other.lines
        self.certain += other.certain
        self.right += other.right
        self.proposed += other.proposed
        self.first += other.first
        self.wrong += other.wrong


def together(verdicts: Iterable[Mapping[str, Verdict]]) -> dict[str, Verdict]:
    """Several books' by case."""
    found: dict[str, Verdict] = {}
    for by_case in verdicts:
        for case, each in by_case.items():
            found.setdefault(case, Verdict()).add(each)
    return found


def total(by_case: Mapping[str, Verdict]) -> Verdict:
    """Of all cases."""
    found = Verdict()
    for each in by_case.values():
        found.add(each)
    return found


async def judge(owner: asyncpg.Connection[Any], known: Sequence[Known]) -> dict[str, Verdict]:
    """By case, "" for what is not awkward."""
    certain, proposals = await _matches(owner)
    truths = {each.transaction.external_id: each.truth for each in known}
    verdicts: dict[str, Verdict] = {}
    for each in known:
        verdict = verdicts.setdefault(each.case, Verdict())
        name, truth = each.transaction.external_id, dict(each.truth)
        verdict.lines += 1
        if name in certain:
            verdict.certain += 1
            if certain[name] == truth or _undone(certain[name], truth, truths):
                verdict.right += 1
            else:
                text = each.transaction.description or ""
                verdict.wrong.append(
                    f"{each.case or 'not awkward'}: `{text}` ({_said(certain[name])}, not {_said(truth)})"
                )
        elif name in proposals:
            verdict.proposed += 1
            verdict.first += proposals[name] == truth
    return verdicts


async def _matches(owner: asyncpg.Connection[Any]) -> tuple[dict[str, dict[tuple[str, str], int]], ...]:
    """By transaction: the certain match, and the best proposal (of several that are equally good, all together)."""
    certain: dict[str, dict[tuple[str, str], int]] = {}
    proposals: dict[str, dict[tuple[str, str], int]] = {}
    best: dict[str, int] = {}
    for row in await owner.fetch(_FOUND):
        of = certain if row["status"] == "CERTAIN" else proposals
        if of is proposals and best.setdefault(row["external_id"], row["score"]) != row["score"]:
            continue
        parts = of.setdefault(row["external_id"], {})
        if row["kind"] in _TOLD:
            parts[row["kind"], row["document"]] = row["amount"]
    return certain, proposals


def _undone(found: Parts, truth: Parts, truths: Mapping[str, Parts]) -> bool:
    """Whether money that came back was matched with the very payment that it takes back: the two clear each other."""
    if len(found) != 1 or next(iter(found))[0] != "bank_transaction" or not truth:
        return False
    return dict(truths[next(iter(found))[1]]) == {key: -amount for key, amount in truth.items()}


def _said(parts: Parts) -> str:
    return ", ".join(f"{name} {amount / 100:.2f}" for (_, name), amount in parts.items()) or "nothing"
