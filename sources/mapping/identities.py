"""What a document's figures must satisfy among themselves before anything of it is posted. Pure.

No message states pay: of payroll it says the identity and by how much it is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sources.mapping.facts import Facts
from sources.money import EXPONENTS, format_minor


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
    gross, net = names["gross"], names["net"]
    parts = [names[name] for name in ("gross", "employee_taxes", "deductions")]
    if None not in parts and (computed := parts[0] - parts[1] - parts[2] + (names["reimbursements"] or 0)) != net:
        yield _off(facts, "net = gross - employee taxes - deductions + reimbursements", net, computed)
    costs = [names[name] for name in ("total_cost", "gross", "employer_taxes", "employer_contributions")]
    if None not in costs and costs[0] != sum(costs[1:]):
        yield _off(facts, "total cost = gross + employer taxes + employer contributions", costs[0], sum(costs[1:]))
    if facts.slips is None:
        return
    if (stated := sum(each for _, each in facts.slips)) != net:
        yield _off(facts, "net = sum of the payslips' net", net, stated)
    slips = [each for each, _ in facts.slips if each is not None]
    if len(slips) == len(facts.slips) and gross is not None and sum(slips) != gross:
        yield _off(facts, "gross = sum of the payslips' gross", gross, sum(slips))


def _payment(facts: Facts) -> Iterable[str]:
    """A source may state what leaves as a positive amount; its net is then what leaves, with the fee."""
    amount, fee, net = (facts.names[name] for name in ("amount", "fee", "net"))
    if None not in (amount, fee, net) and net != amount - fee and net not in (-amount - fee, amount + fee):
        yield _off(facts, "net = amount - fee", net, amount - fee)


def _off(facts: Facts, identity: str, stated: int, computed: int) -> str:
    exponent = EXPONENTS.get(facts.currency, 0)
    difference = f"{format_minor(stated - computed, exponent)} {facts.currency}"
    if facts.kind == "payroll_run":
        return f"the figures disagree: {identity} is off by {difference}"
    sides = f"{format_minor(stated, exponent)} against {format_minor(computed, exponent)}"
    return f"the figures disagree: {identity} is off by {difference} ({sides})"


_IDENTITIES: Final[Mapping[str, Callable[[Facts], Iterable[Any]]]] = {
    "invoice": _invoice,
    "payroll_run": _payroll_run,
    "bank_transaction": lambda facts: (),
    "payment": _payment,
}
