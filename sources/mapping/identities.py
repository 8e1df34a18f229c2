"""What a document's figures must satisfy among themselves before anything of it is posted. Pure.

No message states pay: of payroll it says the identity and by how much it is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sources.mapping.facts import Facts, Slip
from sources.money import EXPONENTS, format_minor

_NET: Final = "net = gross - employee taxes - deductions + reimbursements"


def disagreement(facts: Facts) -> str | None:
    """The first identity that the document's figures break, as a sentence; None: they agree as far as they are stated."""
    return next(iter(_IDENTITIES[facts.kind](facts)), None)


def _invoice(facts: Facts) -> Iterable[str]:
    names = facts.names
    subtotal, tax, rounding, total = names["subtotal"], names["tax"], names["rounding"], names["total"]
    if total != subtotal + tax + rounding:
        yield _off(facts, "total = subtotal + tax + rounding", total, subtotal + tax + rounding)
    if (lines := names["lines"]) and (stated := sum([line["amount"] for line in lines])) != subtotal:
        yield _off(facts, "subtotal = sum of the lines' amounts", subtotal, stated)
    if (taxes := names["taxes"]) and (stated := sum([each["amount"] for each in taxes])) != tax:
        yield _off(facts, "tax = sum of the taxes' amounts", tax, stated)


def _payroll_run(facts: Facts) -> Iterable[str]:
    names = facts.names
    net = names["net"]
    if facts.slips is not None:
        yield from _payslips(facts, facts.slips)
    parts = [names[name] for name in ("gross", "employee_taxes", "deductions")]
    if None not in parts and (computed := parts[0] - parts[1] - parts[2] + (names["reimbursements"] or 0)) != net:
        yield _off(facts, _NET, net, computed)
    costs = [names[name] for name in ("total_cost", "gross", "employer_taxes", "employer_contributions")]
    if None not in costs and costs[0] != sum(costs[1:]):
        yield _off(facts, "total cost = gross + employer taxes + employer contributions", costs[0], sum(costs[1:]))


def _payslips(facts: Facts, slips: tuple[Slip, ...]) -> Iterable[str]:
    gross, net = facts.names["gross"], facts.names["net"]
    for number, slip in enumerate(slips, 1):
        if slip.computed is not None and slip.net != slip.computed:
            identity = f"{_NET} of payslip {number} of {len(slips)}"
            yield _off(facts, identity, slip.net, slip.computed)
    if (stated := sum(slip.net for slip in slips)) != net:
        yield _off(facts, "net = sum of the payslips' net", net, stated)
    stated_gross = [slip.gross for slip in slips if slip.gross is not None]
    if len(stated_gross) == len(slips) and gross is not None and sum(stated_gross) != gross:
        yield _off(facts, "gross = sum of the payslips' gross", gross, sum(stated_gross))


def _payment(facts: Facts) -> Iterable[str]:
    amount, fee, net = (facts.names[name] for name in ("amount", "fee", "net"))
    if None not in (amount, fee, net) and net != amount - fee:
        yield _off(facts, "net = amount - fee", net, amount - fee)


def _off(facts: Facts, identity: str, stated: int, computed: int) -> str:
    exponent = EXPONENTS.get(facts.currency, 0)
    difference = f"{format_minor(stated - computed, exponent)} {facts.currency}"
    if facts.kind == "payroll_run":
        return f"the figures disagree: {identity} is off by {difference}"
    sides = f"{format_minor(stated, exponent)} against {format_minor(computed, exponent)}"
    return f"the figures disagree: {identity} is off by {difference} ({sides})"


_IDENTITIES: Final[Mapping[str, Callable[[Facts], Iterable[str]]]] = {
    "invoice": _invoice,
    "payroll_run": _payroll_run,
    "bank_transaction": lambda facts: (),
    "payment": _payment,
}
