"""The order of an account's statements, and the gaps between them. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, pairwise

from sources.money import EXPONENTS, format_minor


@dataclass(frozen=True, slots=True)
class Link:
    """An authoritative statement: what its place depends on. Balances are signed minor units of `currency`."""

    external_id: str
    currency: str
    ends_on: date | None
    opening: int | None
    closing: int | None


def ordered(statements: Iterable[Link]) -> list[Link]:
    """Oldest first by the day they end on. Statements of one day follow each other by their balances: one opens with
    what another closed with. Those without any date come first."""
    by_day = sorted(statements, key=lambda link: (link.ends_on or date.min, link.external_id))
    chain: list[Link] = []
    for _, day in groupby(by_day, key=lambda link: link.ends_on or date.min):
        _append_day(chain, list(day))
    return chain


def gaps(chain: Sequence[Link]) -> dict[str, str]:
    """For each statement that does not open with what the one before it closed with: a sentence, by external id."""
    found = {}
    for before, link in pairwise(chain):
        if link.opening is not None and before.closing is not None and link.opening != before.closing:
            found[link.external_id] = _gap(before, link)
    return found


def follow(before: Link | None, day: Iterable[Link]) -> list[tuple[Link, str | None]]:
    """The statements of one day in their order behind the one before it, each with the sentence of the gap that it leaves."""
    chain = [before] if before else []
    first = len(chain)
    _append_day(chain, sorted(day, key=lambda link: link.external_id))
    sentences = gaps(chain)
    return [(link, sentences.get(link.external_id)) for link in chain[first:]]


def _append_day(chain: list[Link], day: list[Link]) -> None:
    if all(
        link.opening is None for link in day
    ):  # as of sources whose transactions are statements of their own: there are many
        chain.extend(day)
        return
    while day:
        chosen = _follower(chain[-1] if chain else None, day)
        day.remove(chosen)
        chain.append(chosen)


def _follower(before: Link | None, day: Sequence[Link]) -> Link:
    follows = [link for link in day if before and link.opening is not None and link.opening == before.closing]
    if follows:
        # One that ends where it began leaves the way open for the others.
        return min(follows, key=lambda link: link.opening != link.closing)
    closings = [link.closing for link in day]
    return next((link for link in day if link.opening is None or link.opening not in closings), day[0])


def _gap(before: Link, link: Link) -> str:
    exponent = EXPONENTS[link.currency]
    opening, closing = (format_minor(amount or 0, exponent) for amount in (link.opening, before.closing))
    return (
        f"The statement that ends on {link.ends_on} opens with {opening} {link.currency}, but the one before it"
        f" ({before.ends_on}) closes with {closing} {link.currency}: a statement may be missing or doubled."
    )
