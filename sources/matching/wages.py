"""Transactions that pay one employee each: parts of a payroll run, each of a payslip's net pay. Pure.

A match is about the run, and says nothing of whose pay it is; payslips only tell whether there is somebody left to be paid that much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sources.matching import allocating, clues, evidence
from sources.matching.model import Allocation, Item, ItemKey, Line, Match, Reason

DAYS: Final = (-4, 5)
"""From how many days before the pay date until how many after it money moves."""


@dataclass(frozen=True, slots=True)
class Payslip:
    """`net`: minor units, positive; `party`: see `clues.party_name`; `keys`: of its number and the employee's."""

    net: int
    party: str
    keys: frozenset[str] = frozenset()


@dataclass(slots=True)
class Run:
    """`given`: its payslips are known, of which `payslips` are those that may be meant. `paid`: amount and other side's name of each
    transaction that is matched with it."""

    key: ItemKey
    given: bool
    payslips: list[Payslip] = field(default_factory=list)
    paid: list[tuple[int, str]] = field(default_factory=list)


def parts(line: Line, runs: Iterable[Run], items: Mapping[ItemKey, Item]) -> Iterator[Match]:
    """Certain where the amount is the net of a payslip that nobody paid yet, and the other side's name, or a number in the text, is of
    it; a name that only resembles counts where the text speaks of wages."""
    for run in runs:
        item = items.get(run.key)
        if item is None or not item.ready or item.currency != line.currency:
            continue
        if line.open >= 0 or line.open < item.open or not DAYS[0] <= (line.dated - item.dated).days <= DAYS[1]:
            continue
        if (found := _part(line, run, item)) is not None:
            yield found


def _part(line: Line, run: Run, item: Item) -> Match | None:
    left = _unpaid(run, line.open)
    speaks = Reason("PAYROLL", 30, "The text says that it pays wages.") if clues.is_payroll(line.text) else None
    when = Reason("DATE", 10, "It is of the days in which the money of the payroll run moves.")
    allocation = (allocating.of_item(item, line.open),)
    money = evidence.money(line.open, line.currency)
    if not left:
        part = Reason("PARTIAL", 10, f"{money} is a part of what is open of the payroll run.")
        unknown = speaks is not None and not run.given and line.open != item.open
        return Match(line.key, allocation, evidence.present(speaks, part, when)) if unknown else None
    whose = max((_whose(line, slip) for slip in left), key=lambda reason: reason.points if reason else 0)
    if whose is None and speaks is None:
        return None
    told = Reason("AMOUNT", 30, f"{money} is the net pay of a payslip of the payroll run that is not paid yet.")
    certain = whose is not None and (evidence.is_same(whose) or speaks is not None)
    return Match(line.key, allocation, evidence.present(whose, told, speaks, when), certain=certain)


def _whose(line: Line, slip: Payslip) -> Reason | None:
    if any(clues.is_strong(key) for key in slip.keys & line.keys):
        return Reason("REFERENCE_PART", 30, "The text has the number of a payslip, or of its employee.")
    alike = clues.resemblance(line.party, slip.party)
    if alike == 2:
        return Reason("PARTY", 20, "The other side's name is that of a payslip.")
    return Reason("PARTY", 12, "The other side's name resembles that of a payslip.") if alike else None


def _unpaid(run: Run, amount: int) -> list[Payslip]:
    """Of this net pay; who was paid it already is left out, and of payments to nobody known one each."""
    left = [slip for slip in run.payslips if slip.net == -amount]
    paid = [party for moved, party in run.paid if moved == amount]
    if len(paid) >= len(left):
        return []
    for party in paid:
        alike = max(left, key=lambda slip: clues.resemblance(party, slip.party))
        if clues.resemblance(party, alike.party):
            left.remove(alike)
    return left


def pay(line: Line, runs: Sequence[Run], allocations: Iterable[Allocation]) -> None:
    """Notes what a match pays."""
    by_key = {run.key: run for run in runs}
    for each in allocations:
        if each.key in by_key:
            by_key[each.key].paid.append((each.amount, line.party))
