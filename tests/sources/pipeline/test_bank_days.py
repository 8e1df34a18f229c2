"""One bank account from two sources posts once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from sources.documents import BankAccount, BankStatement
from sources.mirror import state, store
from sources.mirror.issues import IssueKey
from sources.pipeline.resolving import resolve_issue
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, Company, opened, rules

IBAN = "DE02120300000000202051"
BANK = """
[[rules]]
name = "bank"
kind = "bank_transaction"
  [[rules.postings]]
  name = "bank"
  date = "dated_on"
  description = "Money"
  lines = [{ account = "1000", debit = "amount" }, { account = "7000", credit = "amount" }]
"""


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.use_rules(rules() + BANK)
        yield found
        assert await found.findings() == []


def camt(*days: int, account: str = IBAN, currency: str = "USD", name: str = "c") -> BankStatement:
    moved = [Kit.moved(f"{name}{day}", 100 * day, date(2026, 3, day), currency=currency) for day in days]
    of = BankAccount(external_id=account, currency=currency, iban=account if account == IBAN else None)
    return Kit.statement(f"{name}-{days}", *moved, account=of, to_date=date(2026, 3, max(days)))


async def state_of(company: Company, source: str, *documents: BankStatement, post_from: date = CUTOVER) -> None:
    """A pull of a folder of its own, which lists everything."""
    settings = Kit.bank(name=source, ledger=company.ledger.code, options={"path": source}, post_from=post_from)
    ledgers = {company.ledger.code: company.ledger.ledger_id}
    found = await state.standing(company.speaking, settings, company.ledger.ledger_id)
    run = await store.begin(company.speaking, settings, ledgers, found)
    for page in Kit.pages(documents):
        await store.store_page(company.speaking, run, page)
    await store.end(company.speaking, run, None, everything=True)
    await company.look()


async def money(company: Company) -> int:
    return (await company.nets()).get("1000", 0)


async def test_a_folder_under_another_name_and_path_posts_no_day_a_second_time(company: Company) -> None:
    await state_of(company, "bank", camt(2, 3))
    assert await money(company) == 500
    await state_of(company, "bank-new", camt(2, 3), camt(4, name="d"))
    assert await money(company) == 900
    assert await company.issues() == {("POSSIBLE_DUPLICATE", "c2"): True, ("POSSIBLE_DUPLICATE", "c3"): True}


@pytest.mark.parametrize("account", [IBAN, "DE02 1203 0000 0000 2020 51"])
async def test_the_same_account_in_another_format_waits_whatever_its_transactions_are_called(
    company: Company, account: str
) -> None:
    await state_of(company, "camt", camt(2))
    await state_of(company, "mt940", camt(2, account=account, name="m"))
    assert await money(company) == 200
    assert await company.issues() == {("POSSIBLE_DUPLICATE", "m2"): True}


async def test_two_folders_that_were_read_before_anything_posted_post_once(company: Company) -> None:
    await company.lock(None)
    look, company.look = company.look, _nothing  # type: ignore[method-assign]
    await state_of(company, "a", camt(2, 3))
    await state_of(company, "b", camt(2, 3, name="b"))
    company.look = look  # type: ignore[method-assign]
    await company.look()
    assert await money(company) == 500


async def _nothing() -> Any:
    return None


async def test_another_account_and_another_currency_post(company: Company) -> None:
    await state_of(company, "a", camt(2))
    await state_of(company, "b", camt(2, account="DE99999999999999999999"))
    assert await money(company) == 400


async def test_a_person_may_say_that_it_is_another_transaction(company: Company) -> None:
    await state_of(company, "a", camt(2))
    await state_of(company, "b", camt(2, name="b"))
    issue = IssueKey("b", "POSSIBLE_DUPLICATE", f"bank_transaction {IBAN} b2")
    await resolve_issue(company.database, company.ledger.ledger_id, issue, by="ann", note=None)
    await company.look()
    assert await money(company) == 400


async def test_a_later_cut_over_waits_for_nobody(company: Company) -> None:
    await state_of(company, "a", camt(2, 3))
    await state_of(company, "b", camt(2, 3, 4, name="b"), post_from=date(2026, 3, 4))
    assert await money(company) == 900
    assert await company.issues() == {}


async def test_what_the_other_source_takes_back_lets_it_in(company: Company) -> None:
    await state_of(company, "a", camt(2))
    await state_of(company, "b", camt(2, name="b"))
    await state_of(company, "a", camt(5))
    assert await money(company) == 700
    assert not any((await company.issues()).values())
