"""Transactions that pay one employee each: certain where a payslip that nobody paid yet fits, and never more than the run's net."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from sources.documents import Payslip
from tests.sources.matching.trade import Trade, money, payroll
from tests.sources.pipeline.company import changed

PAY_DAY = date(2026, 3, 31)
ANNA, BEN, CLEO = ("Anna Ott", 2_000_00), ("Ben Roe", 2_000_00), ("Cleo Ray", 1_500_00)


def slips(*people: tuple[str, int]) -> tuple[Payslip, ...]:
    return tuple(
        Payslip(external_id=f"slip-{at}", employee_id=f"E-{at}0042", employee_name=name, net=net, gross=net)
        for at, (name, net) in enumerate(people, 1)
    )


async def run(trade: Trade, *people: tuple[str, int], more: int = 0, name: str = "run-1", day: date = PAY_DAY) -> None:
    """A payroll run of these people, and of `more` net pay of others."""
    stated = payroll(name, sum(net for _, net in people) + more, day)
    others = ((f"Somebody Else {more}", more),) if more else ()
    await trade.company.state(changed(stated, payslips=slips(*people, *others)), source="payroll")
    await trade.company.look()


def wage(external_id: str, net: int, name: str | None, text: str = "", day: date = PAY_DAY) -> Any:
    return money(external_id, -net, text, name=name, day=day)


async def certain(trade: Trade) -> list[str]:
    await trade.is_sound()
    live = await trade.live()
    assert all(parts[0][0] == "payroll_run" for parts in live.values())
    return sorted(live)


async def test_many_lines_pay_one_run(trade: Trade) -> None:
    """Nothing is posted of them: the run and the bank have met on the clearing account."""
    await run(trade, ANNA, BEN, CLEO)
    entries = len(await trade.company.entries())
    await trade.moved(
        wage("t1", 2_000_00, "Ott, Anna"), wage("t2", 2_000_00, "BEN ROE"), wage("t3", 1_500_00, "Cleo Ray")
    )
    assert await certain(trade) == ["t1", "t2", "t3"]
    assert await trade.open() == {}
    assert await trade.net("bank_clearing") == 0
    assert len(await trade.company.entries()) == entries + 3


async def test_the_lines_come_before_the_run(trade: Trade) -> None:
    await trade.moved(wage("t1", 2_000_00, "Anna Ott"), wage("t3", 1_500_00, "Cleo Ray"))
    assert await trade.matches() == []
    await run(trade, ANNA, BEN, CLEO)
    assert await certain(trade) == ["t1", "t3"]
    assert await trade.net("bank_clearing") == -2_000_00


async def test_the_payslips_come_after_the_lines(trade: Trade) -> None:
    await trade.company.state(payroll("run-1", 5_500_00), source="payroll")
    await trade.moved(wage("t1", 2_000_00, "Anna Ott"))
    assert await trade.matches() == []
    await run(trade, ANNA, BEN, CLEO)
    assert await certain(trade) == ["t1"]


@pytest.mark.parametrize("text", ["", "SALARY"])
async def test_who_is_paid_twice_waits_though_another_one_is_due_as_much(trade: Trade, text: str) -> None:
    await run(trade, ANNA, BEN)
    await trade.moved(wage("t1", 2_000_00, "Anna Ott"), wage("t2", 2_000_00, "Anna Ott", text, date(2026, 4, 1)))
    assert await certain(trade) == ["t1"]


async def test_the_rest_of_a_run_in_one_batch(trade: Trade) -> None:
    await run(trade, ANNA, BEN, CLEO)
    await trade.moved(wage("t1", 2_000_00, "Anna Ott"), wage("t2", 3_500_00, None, "SALARIES MARCH"))
    assert await certain(trade) == ["t1", "t2"]
    assert await trade.open() == {}


async def test_a_number_in_the_text_or_a_name_that_resembles_with_a_word(trade: Trade) -> None:
    await run(trade, ANNA, BEN, CLEO)
    await trade.moved(wage("t1", 2_000_00, None, "E-10042"), wage("t3", 1_500_00, "Cleo Ray Pond", "SALARY"))
    assert await certain(trade) == ["t1", "t3"]


@pytest.mark.parametrize(
    ("net", "name", "text", "day", "proposed"),
    [
        (1_500_00, "Cleo Ray Pond", "", PAY_DAY, True),
        (1_500_00, None, "SALARY", PAY_DAY, True),
        (1_500_00, None, "", PAY_DAY, False),
        (1_499_00, "Cleo Ray", "SALARY", PAY_DAY, False),
        (1_500_00, "Dora Fay", "", PAY_DAY, False),
        (1_500_00, "Cleo Ray", "", date(2026, 4, 20), False),
    ],
)
async def test_what_is_not_certain_of_a_payslip(
    trade: Trade, net: int, name: str | None, text: str, day: date, proposed: bool
) -> None:
    """Resembling alone, nobody known, another amount, another name, another time."""
    await run(trade, ANNA, CLEO)
    await trade.moved(wage("t1", net, name, text, day))
    assert await certain(trade) == []
    assert bool(await trade.proposed()) is proposed


async def test_a_part_of_a_run_whose_payslips_are_not_known_is_proposed(trade: Trade) -> None:
    await trade.company.state(payroll("run-1", 5_500_00), source="payroll")
    await trade.moved(wage("t1", 2_000_00, "Anna Ott", "SALARY"))
    assert await trade.proposed() == {"t1": [(("payroll_run", "run-1", -2_000_00),)]}


async def test_a_run_that_becomes_less_gives_its_lines_back(trade: Trade) -> None:
    await run(trade, ANNA, BEN)
    await trade.moved(wage("t1", 2_000_00, "Anna Ott"), wage("t2", 2_000_00, "Ben Roe"))
    assert await certain(trade) == ["t1", "t2"]
    await run(trade, ANNA)
    assert await certain(trade) == ["t1"]
    assert await trade.net("bank_clearing") == 2_000_00


RATES: Sequence[tuple[str, str]] = (("2026-03-31", "0.33333"), ("2026-01-31", "0.33333"))


async def test_wages_in_another_currency_leave_nothing_behind(trade: Trade) -> None:
    for day, rate in RATES:
        await trade.company.owner.execute(
            "INSERT INTO ledger.rate VALUES ('USD', 'EUR', 'spot', $1::text::date, $2::text::numeric, 'test')",
            day,
            rate,
        )
    stated = changed(
        payroll("run-1", 300), currency="USD", payslips=slips(("Anna Ott", 100), ("Ben Roe", 101), ("Cleo Ray", 99))
    )
    await trade.company.state(stated, source="payroll")
    await trade.company.look()
    people = (("Anna Ott", 100), ("Ben Roe", 101), ("Cleo Ray", 99))
    await trade.moved(
        *(money(f"t{at}", -net, name=name, day=PAY_DAY, currency="USD") for at, (name, net) in enumerate(people))
    )
    assert len(await trade.live()) == 3
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()
