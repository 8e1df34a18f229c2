"""What a document's figures must satisfy among themselves before anything of it is posted. Pure.

No message states pay or names a person: of payroll it says the identity, the payslip's id, and by how much it is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sources.mapping.facts import PARTS, Facts, Slip
from sources.money import EXPONENTS, format_minor

_NET: Final = "net = gross - employee taxes - deductions + reimbursements"
_REMAINDERS: Final = {
    "withheld": "net <= gross + reimbursements - what is stated as withheld",
    "employer_costs": "total cost >= gross + what is stated of the employer's costs",
}
"""What is left over for parts that are not stated would have the wrong sign: then something else is missing."""


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
    yield from _told(names.get("raw"))


def _told(raw: object) -> Iterable[str]:
    """Disagreements among figures that only the source's own payload holds; its connector puts them there as sentences."""
    told = raw.get("disagreements") if isinstance(raw, dict) else None
    return [f"the figures disagree: {each}" for each in told if isinstance(each, str)] if isinstance(told, list) else []


def _payroll_run(facts: Facts) -> Iterable[str]:
    names = facts.names
    gross, taxes, deductions, reimbursements, employer_taxes, contributions = (names[name] for name in PARTS)
    if facts.slips is not None:
        yield from _payslips(facts, facts.slips)
    if (net := _net(gross, taxes, deductions, reimbursements)) not in (None, names["net"]):
        yield _off(facts, _NET, names["net"], net or 0)
    if None not in (names["total_cost"], gross, employer_taxes, contributions):
        yield from _cost(facts, names["total_cost"], gross + employer_taxes + contributions, reimbursements or 0)
    sign = -1 if (gross or 0) < 0 else 1
    for name, bound in _REMAINDERS.items():
        if (names[name] or 0) * sign < 0:
            yield _off(facts, bound, names[name], 0)


def _cost(facts: Facts, stated: int, computed: int, reimbursements: int) -> Iterable[str]:
    """Xero shows the cost of a run with its reimbursements, and documents neither: both are taken."""
    if stated not in (computed, computed + reimbursements):
        yield _off(facts, "total cost = gross + employer taxes + employer contributions", stated, computed)


def _payslips(facts: Facts, slips: tuple[Slip, ...]) -> Iterable[str]:
    for slip in slips:
        net = _net(slip.gross, slip.employee_taxes, slip.deductions, slip.reimbursements)
        if net not in (None, slip.net):
            yield _off(facts, f"{_NET} of the payslip {slip.external_id}", slip.net, net or 0)
    for name in ("net", *PARTS):
        stated, parts = facts.names[name], [getattr(slip, name) for slip in slips]
        if stated is not None and None not in parts and sum(parts) != stated:
            word = name.replace("_", " ")
            yield _off(facts, f"{word} = sum of the payslips' {word}", stated, sum(parts))


def _net(gross: int | None, taxes: int | None, deductions: int | None, reimbursements: int | None) -> int | None:
    """None: it is not stated what it is made of."""
    if gross is None or taxes is None or deductions is None:
        return None
    return gross - taxes - deductions + (reimbursements or 0)


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
