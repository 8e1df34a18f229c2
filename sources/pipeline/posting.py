"""Plans through the ledger's front door: reversals and entries of one document all or none, documents independent of each other.

Documents of one entry go as one call, the others as a call each; the ledger makes batches of all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sources.ledger.model import Outcome
from sources.ledger.posting import Poster
from sources.pipeline.model import Plan


async def post(poster: Poster, plans: Sequence[Plan]) -> list[list[Outcome]]:
    """The outcomes of each plan's drafts, in order. Raises what `Poster.post` does once all calls have ended: what was posted
    then is found by its keys."""
    drafts = [plan.drafts() for plan in plans]
    single = [number for number, each in enumerate(drafts) if len(each) == 1]
    several = [number for number, each in enumerate(drafts) if len(each) > 1]
    calls = [poster.post(drafts[number], atomic=True) for number in several]
    if single:
        calls.append(poster.post([drafts[number][0] for number in single]))
    answers: list[list[Outcome]] = []
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    outcomes: list[list[Outcome]] = [[] for _ in plans]
    for number, outcome in zip(single, answers.pop() if single else [], strict=True):
        outcomes[number] = [outcome]
    for number, answer in zip(several, answers, strict=True):
        outcomes[number] = answer
    return outcomes
