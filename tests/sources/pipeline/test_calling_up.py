"""What waits to be tried again is looked at as soon as it can be dealt with, also where nothing else is due in its ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.pipeline import resolving
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import EVERYONE, Company, opened, rules

TAKES_NONE = rules().replace('status = ["OPEN", "PAID"]', 'status = "UNCOLLECTIBLE"')


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


async def test_new_rules_are_taken_up_by_a_ledger_of_which_nothing_is_due(company: Company) -> None:
    await company.use_rules(TAKES_NONE)
    await company.state(Kit.invoice("in_1"))
    assert (await company.pipeline.run_all()).statuses == {"ISSUE": 1}
    assert (await company.pipeline.run_all()).taken == 0
    await company.use_rules(rules())
    assert (await company.pipeline.run_all()).statuses == {"POSTED": 1}
    assert (await company.pipeline.run_all()).taken == 0


async def test_the_control_accounts_of_new_rules_are_taken_up_where_nothing_waits(company: Company) -> None:
    await company.use_rules(rules())
    await company.pipeline.run_all()
    assert await _control_accounts(company) == {("1100", "RECEIVABLE"), ("2000", "PAYABLE")}
    await company.use_rules(rules().replace('"1100"', '"1210"'))
    await company.pipeline.run_all()
    assert await _control_accounts(company) == {("1210", "RECEIVABLE"), ("2000", "PAYABLE")}


async def test_rules_that_become_active_again_are_taken_up_again(company: Company) -> None:
    """Also where no run saw the others that were active between."""
    await company.use_rules(TAKES_NONE)
    await company.state(Kit.invoice("in_1"))
    await company.pipeline.run_all()
    await company.use_rules(rules())
    await company.use_rules(TAKES_NONE)
    assert (await company.pipeline.run_all()).statuses == {"ISSUE": 1}
    assert (await company.pipeline.run_all()).taken == 0


async def test_an_account_that_is_created_is_taken_up(company: Company) -> None:
    await company.use_rules(rules("4999"))
    await company.state(Kit.invoice("in_1"))
    assert (await company.pipeline.run_all()).statuses == {"ISSUE": 1}
    assert await company.issues() == {("UNKNOWN_ACCOUNT", "in_1"): True}
    assert await resolving.look_at_accounts_again(company.database, company.ledger.ledger_id) == 1
    assert (await company.pipeline.run_all()).statuses == {"ISSUE": 1}
    draft = AccountDraft(code="4999", name="Sales", type=AccountType.REVENUE)
    await administration.create_accounts(company.database, EVERYONE, ledger=company.ledger.code, accounts=[draft])
    assert await resolving.look_at_accounts_again(company.database, company.ledger.ledger_id) == 1
    assert (await company.pipeline.run_all()).statuses == {"POSTED": 1}
    assert await resolving.look_at_accounts_again(company.database, company.ledger.ledger_id) == 0


async def test_what_waits_for_something_else_does_not_hear_of_accounts(company: Company) -> None:
    await company.use_rules(TAKES_NONE)
    await company.state(Kit.invoice("in_1"))
    await company.pipeline.run_all()
    assert await resolving.look_at_accounts_again(company.database, company.ledger.ledger_id) == 0
    assert (await company.pipeline.run_all()).taken == 0


async def _control_accounts(company: Company) -> set[tuple[str, str]]:
    rows = await company.owner.fetch("SELECT code, direction FROM matching.control_account")
    return {(row[0], row[1]) for row in rows}
