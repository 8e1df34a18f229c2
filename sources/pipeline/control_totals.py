"""Control totals of a tie-out: what a source states beside what is posted, by kind, direction and currency. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sources.pipeline.tied import Tied, TieState


@dataclass(slots=True)
class StateTotal:
    """`stated`: minor units, as of Total."""

    documents: int = 0
    stated: int = 0


@dataclass(slots=True)
class Total:
    """`kind` None: entries that are no document's. `documents` and `stated`: of the documents in this currency, of which
    `nothing` call for nothing. `called`, `posted`: debits in this currency; `difference`: posted - called, of the documents of which
    it is known what they call for."""

    kind: str | None
    direction: str | None
    currency: str
    documents: int = 0
    stated: int = 0
    nothing: int = 0
    called: int = 0
    posted: int = 0
    difference: int = 0
    states: dict[TieState, StateTotal] = field(default_factory=dict)


def control_totals(tied: Iterable[Tied]) -> list[Total]:
    """In order of kind, direction and currency, what is no document's first."""
    found: dict[tuple[str | None, str | None, str], Total] = {}

    def total(each: Tied, currency: str) -> Total:
        place = (each.key and each.key.kind, each.direction, currency)
        return found.setdefault(place, Total(*place))

    for each in tied:
        if each.currency is not None:
            _count(total(each, each.currency), each)
        for currency, debits in (each.called or {}).items():
            total(each, currency).called += debits
            total(each, currency).difference -= debits
        for currency, debits in each.posted.items():
            total(each, currency).posted += debits
            total(each, currency).difference += debits if each.called is not None else 0
    return [found[place] for place in sorted(found, key=lambda place: tuple([part or "" for part in place]))]


def _count(total: Total, each: Tied) -> None:
    total.documents += 1
    total.stated += each.stated or 0
    if each.state is None:
        total.nothing += 1
        return
    of_state = total.states.setdefault(each.state, StateTotal())
    of_state.documents += 1
    of_state.stated += each.stated or 0
