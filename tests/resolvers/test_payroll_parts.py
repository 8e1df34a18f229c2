"""What payroll is made of, in the graph: sums for who may read payroll, each one's parts for who may read what is personal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph import caller
from tests.resolvers.test_documents import World, world
from tests.sources.mirror.kit import Kit

__all__ = ["world"]

PARTS = "gross employeeTaxes deductions reimbursements net employerTaxes employerContributions"
RUNS = f"{{ payrollRuns {{ nodes {{ externalId {PARTS} totalCost }} }} }}"
SLIPS = f"{{ payrollRuns {{ nodes {{ payslips {{ externalId {PARTS} }} }} }} }}"


def slip(external_id: str, net: int, **more: Any) -> Any:
    parts = {"gross": net + 30_00, "employee_taxes": 20_00, "deductions": 15_00, "reimbursements": 5_00}
    return Kit.slip(
        external_id, **{"net": net, **parts, "employer_taxes": 9_00, "employer_contributions": 3_00, **more}
    )


async def test_a_run_tells_the_sums_of_its_payslips_once_they_are_held(world: World) -> None:
    """Before that, and where the slips are not those of its net, null; what the run itself states comes first."""
    stated, other, without = Kit.run("b", net=170_00, employer_taxes=1), Kit.run("c", net=1), Kit.run("a", net=2)
    world.payroll.pages = Kit.pages([stated, other, without])
    slips = (slip("s1", 100_00), slip("s2", 70_00))
    world.payroll.slips = {"b": slips, "c": slips, "a": (Kit.slip("s3", net=2),)}
    before = (await world.data(RUNS))["payrollRuns"]["nodes"]
    assert {run["gross"] for run in before} == {None}
    await world.data(SLIPS)
    nodes = {run["externalId"]: run for run in (await world.data(RUNS))["payrollRuns"]["nodes"]}
    assert nodes["b"] == {
        "externalId": "b", "gross": "230.00", "employeeTaxes": "40.00", "deductions": "30.00", "reimbursements": "10.00",
        "net": "170.00", "employerTaxes": "0.01", "employerContributions": "6.00", "totalCost": "236.01",
    }  # fmt: skip
    assert nodes["c"]["gross"] is None
    assert nodes["a"]["gross"] is None


async def test_the_parts_of_a_payslip_are_personal(world: World) -> None:
    world.payroll.pages = Kit.pages([Kit.run(net=100_00)])
    world.payroll.slips = {"run-1": (slip("s1", 100_00),)}
    ((found,),) = [run["payslips"] for run in (await world.data(SLIPS))["payrollRuns"]["nodes"]]
    assert found == {
        "externalId": "s1", "gross": "130.00", "employeeTaxes": "20.00", "deductions": "15.00", "reimbursements": "5.00",
        "net": "100.00", "employerTaxes": "9.00", "employerContributions": "3.00",
    }  # fmt: skip
    anyone = caller(*(caller().scopes - {"payroll:personal"}))
    assert (await world.data(RUNS, by=anyone))["payrollRuns"]["nodes"][0]["gross"] == "130.00"
    assert (await world.graph.run(SLIPS, by=anyone))["refused"] == 403


@pytest.mark.parametrize("name", PARTS.split())
async def test_no_part_of_a_payslip_is_read_without_the_scope(world: World, name: str) -> None:
    anyone = caller(*(caller().scopes - {"payroll:personal"}))
    answer = await world.graph.run(f"{{ payrollRuns {{ nodes {{ payslips {{ {name} }} }} }} }}", by=anyone)
    assert (answer["refused"], "payroll:personal" in answer["errors"][0]["message"]) == (403, True)
