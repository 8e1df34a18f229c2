"""Payroll runs: whatever their payslips say, what is posted is their sum, or the identity that they break is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.facts import PARTS
from sources.mapping.model import MappedPosting, UnmappedCode
from tests.sources.mapping.kit import DAY, mapped, payroll_run, postings, prove, slip, starter, unmapped

STARTER = starter()
NOTHING_STATED = dict.fromkeys((*PARTS, "total_cost"))
PENCE = st.integers(0, 10**8)
IDENTITY = "net = gross - employee taxes - deductions + reimbursements"


@st.composite
def slips(draw: st.DrawFn) -> dict[str, Any]:
    """One that adds up: of any sign, with departments or without, and with parts that may be left out where they may be 0."""
    sign = draw(st.sampled_from([1, 1, 1, -1]))
    gross, taxes, deductions, reimbursements, employer, contributions = (sign * draw(st.just(0) | PENCE) for _ in PARTS)
    return slip(
        gross,
        gross - taxes - deductions + reimbursements,
        draw(st.sampled_from([None, "Sales", "Support"])),
        external_id=f"slip-{draw(st.integers(0, 10**6))}",
        employee_taxes=taxes,
        deductions=deductions,
        reimbursements=reimbursements or draw(st.sampled_from([0, None])),
        employer_taxes=employer,
        employer_contributions=contributions,
    )


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """A run that states what Xero's do: net and cost, the latter with reimbursements or without; or all of it, or some."""
    own = draw(st.lists(slips(), max_size=5))
    stated: dict[str, Any] = {name: total(own, name) for name in PARTS}
    cost = stated["gross"] + stated["employer_taxes"] + stated["employer_contributions"]
    leaves = draw(st.sets(st.sampled_from(PARTS)))
    return payroll_run(
        **{name: None if name in leaves else value for name, value in stated.items()},
        net=total(own, "net"),
        total_cost=draw(st.sampled_from([None, cost, cost + stated["reimbursements"]])),
        payslips=own,
        payslips_follow=True,
        pay_date=DAY,
    )


def total(own: list[dict[str, Any]], name: str) -> int:
    return sum(each[name] or 0 for each in own)


def nets(posting: MappedPosting) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in posting.lines:
        found[line.account] = found.get(line.account, 0) + line.amount
    return {account: amount for account, amount in found.items() if amount}


def without_zeros(expected: dict[str, int]) -> dict[str, int]:
    return {account: amount for account, amount in expected.items() if amount}


@given(runs())
def test_every_liability_is_the_sum_of_the_payslips(row: dict[str, Any]) -> None:
    """Taxes of both sides, deductions, pensions and net pay; the run balances, and its payment empties what is owed."""
    own = row["payslips"]
    found = postings(STARTER, "payroll_run", row)
    for each in found:
        assert sum(line.amount for line in each.lines) == 0
        prove(each)
    by_name = {each.name: nets(each) for each in found}
    sums = {name: total(own, name) for name in (*PARTS, "net")}
    assert by_name.get("accrual", {}) == without_zeros(
        {
            "6100": sums["gross"],
            "6130": sums["reimbursements"],
            "2220": -sums["employee_taxes"] - sums["employer_taxes"],
            "2330": -sums["deductions"],
            "2310": -sums["net"],
            "6110": sums["employer_taxes"],
            "6120": sums["employer_contributions"],
            "2320": -sums["employer_contributions"],
        }
    )
    assert by_name.get("payment", {}) == without_zeros({"2310": sums["net"], "1199": -sums["net"]})


@given(runs(), st.data())
def test_one_penny_anywhere_posts_nothing_and_names_the_identity(row: dict[str, Any], data: st.DataObject) -> None:
    """In a payslip it names the slip by its id; nobody's name, whatever is off."""
    places = [(each, name) for each in row["payslips"] for name in ("net", "gross", "employee_taxes", "deductions")]
    place, name = data.draw(st.sampled_from([*places, (row, "net")]))
    place[name] += data.draw(st.sampled_from([-1, 1]))
    found = unmapped(STARTER, "payroll_run", row)
    assert found.code == UnmappedCode.DISAGREEING_FIGURES
    assert place is row or f"{IDENTITY} of the payslip {place['external_id']}" in found.message
    assert not any(word in repr(found) for word in ("Quince", "e-77"))


def test_the_cost_of_a_run_may_count_reimbursements_in_and_nothing_else() -> None:
    assert postings(STARTER, "payroll_run", payroll_run(total_cost=580_000))
    for cost in (579_999, 580_001, 574_999):
        found = unmapped(STARTER, "payroll_run", payroll_run(total_cost=cost))
        assert "total cost = gross + employer taxes + employer contributions" in found.message


@pytest.mark.parametrize(
    ("stated", "identity"),
    [
        ({"gross": 100, "net": 150}, "net <= gross + reimbursements - what is stated as withheld is off by -0.50 USD"),
        ({"gross": 100, "net": 90, "employee_taxes": 15}, "net <= gross + reimbursements"),
        ({"gross": -100, "net": -150}, "net <= gross + reimbursements"),
        ({"gross": 100, "net": 90, "total_cost": 90}, "total cost >= gross + what is stated of the employer's costs"),
    ],
)
def test_what_is_not_stated_is_never_guessed_against_the_sign_of_pay(stated: dict[str, int], identity: str) -> None:
    """Less than nothing withheld: reimbursements that the source does not state, or a figure that is wrong."""
    found = unmapped(STARTER, "payroll_run", payroll_run(**{**NOTHING_STATED, **stated}))
    assert (found.code, identity in found.message) == (UnmappedCode.DISAGREEING_FIGURES, True)


def test_a_run_of_nobody_posts_nothing() -> None:
    assert postings(STARTER, "payroll_run", payroll_run(**NOTHING_STATED, net=0, payslips=[])) == ()
    found = unmapped(STARTER, "payroll_run", payroll_run(**NOTHING_STATED, net=1, payslips=[]))
    assert "net = sum of the payslips' net" in found.message


def test_a_run_that_is_to_have_payslips_posts_nothing_before_they_were_read() -> None:
    """Whatever rule takes it; a draft is taken back at once. The reason is told, where there is one."""
    row = payroll_run(payslips_follow=True, payslips_at=None)
    found = unmapped(STARTER, "payroll_run", row)
    assert (found.code, found.message) == (UnmappedCode.PAYSLIPS_NOT_READ, "its payslips have not been read yet")
    found = unmapped(STARTER, "payroll_run", row | {"payslips_error": "It is closed."})
    assert found.message.endswith("read yet: It is closed.")
    assert mapped(STARTER, "payroll_run", row | {"source_status": "Draft"}) == ()
    assert len(postings(STARTER, "payroll_run", row | {"payslips_at": DAY})) == 2
