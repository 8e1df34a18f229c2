"""Ledgers and charts: created once, changed in turn with postings, seen only by those who may."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

from sources.caller import Caller
from sources.ledger import administration
from sources.ledger.directory import Directory
from sources.ledger.model import (
    UNSET,
    AccountDraft,
    AccountsSaved,
    AccountType,
    ChangeRejected,
    LedgerRef,
    Posted,
    Side,
)
from tests.sources.ledger.books import EVERYONE, TODAY, Books, codes, create, entry

OTHERS = Caller("other", frozenset(), frozenset({"acme-eu"}), 0)


def account(code: str, parent: str | None = None, **more: Any) -> AccountDraft:
    return AccountDraft(code=code, **{"name": f"account {code}", "type": AccountType.ASSET, "parent": parent, **more})


async def add(books: Books, *accounts: AccountDraft, caller: Caller = EVERYONE) -> AccountsSaved | ChangeRejected:
    return await administration.create_accounts(books.database, caller, ledger="acme-us", accounts=accounts)


async def chart(books: Books) -> dict[str, str | None]:
    """The parents' codes by code."""
    rows = await books.fetch(
        "SELECT a.code, p.code AS parent FROM ledger.account a LEFT JOIN ledger.account p "
        "ON p.ledger_id = a.ledger_id AND p.account_id = a.parent_id"
    )
    return {row["code"]: row["parent"] for row in rows}


async def version(books: Books) -> int:
    found: int = (await books.fetch("SELECT names_version FROM ledger.ledger"))[0][0]
    return found


async def test_a_ledger_is_created_once_and_again_just_so(books: Books) -> None:
    again = await administration.create_ledger(
        books.database, EVERYONE, code="acme-us", name="Acme", functional_currency="USD"
    )
    assert again == books.ledger
    for name, currency in (("Other", "USD"), ("Acme", "EUR")):
        other = await administration.create_ledger(
            books.database, EVERYONE, code="acme-us", name=name, functional_currency=currency
        )
        assert codes(other) == ["DUPLICATE_CODE"]


async def test_ten_creators_of_one_ledger_get_the_same(books: Books) -> None:
    made = await asyncio.gather(*[
        administration.create_ledger(books.database, EVERYONE, code="new", name="New", functional_currency="JPY")
        for _ in range(10)
    ])  # fmt: skip
    assert len({ledger for ledger in made if isinstance(ledger, LedgerRef)}) == 1
    assert not any(isinstance(ledger, ChangeRejected) for ledger in made)


async def test_faults_of_a_new_ledger_come_at_once(books: Books) -> None:
    for code in ("", "Acme", "-a", "a:b", "a" * 64, "é", "a b", "a\x00", "\ud800", "a\n"):
        made = await administration.create_ledger(
            books.database, EVERYONE, code=code, name=" ", functional_currency="XXX"
        )
        assert codes(made) == ["INVALID_TEXT", "INVALID_TEXT", "UNKNOWN_CURRENCY"]


async def test_a_caller_with_listed_ledgers_creates_and_changes_only_those(books: Books) -> None:
    """What it may not see is unknown, whether it exists or not."""
    for code in ("acme-us", "acme-uk"):
        made = await administration.create_ledger(
            books.database, OTHERS, code=code, name="x", functional_currency="USD"
        )
        assert codes(made) == ["UNKNOWN_LEDGER"]
        assert codes(await administration.update_ledger(books.database, OTHERS, code=code, name="x")) == [
            "UNKNOWN_LEDGER"
        ]
        assert codes(
            await administration.lock_periods(books.database, OTHERS, ledger=code, through=TODAY)
        ) == ["UNKNOWN_LEDGER"]  # fmt: skip
        changed = await administration.update_account(books.database, OTHERS, ledger=code, code="1000", name="x")
        assert codes(changed) == ["UNKNOWN_LEDGER"]
    assert codes(await add(books, account("9"), caller=OTHERS)) == ["UNKNOWN_LEDGER"]
    made = await administration.create_ledger(
        books.database, OTHERS, code="acme-eu", name="x", functional_currency="EUR"
    )
    assert isinstance(made, LedgerRef)
    assert await administration.update_ledger(books.database, OTHERS, code="acme-eu", name="y") == made
    assert "9" not in await chart(books)


async def test_renaming_bumps_the_names_version_once(books: Books) -> None:
    versions = [await version(books)]
    for name in ("New name", "New name"):
        assert await administration.update_ledger(books.database, EVERYONE, code="acme-us", name=name) == books.ledger
        versions.append(await version(books))
    assert versions[0] < versions[1] == versions[2]
    bad = await administration.update_ledger(books.database, EVERYONE, code="nowhere", name="\x00")
    assert codes(bad) == ["INVALID_TEXT", "UNKNOWN_LEDGER"]


async def test_periods_lock_and_reopen(books: Books) -> None:
    async def lock(through: date | None) -> None:
        locked = await administration.lock_periods(books.database, EVERYONE, ledger="acme-us", through=through)
        assert locked == books.ledger

    await lock(TODAY)
    assert codes((await books.post(entry(books.ledger, "a")))[0]) == ["PERIOD_LOCKED"]
    await lock(date(2026, 3, 14))
    assert await books.post(entry(books.ledger, "a")) == [Posted(books.ledger, 1, False)]
    await lock(date(2199, 12, 31))
    assert codes((await books.post(entry(books.ledger, "b")))[0]) == ["PERIOD_LOCKED"]
    await lock(None)
    assert await books.post(entry(books.ledger, "b", on=date(1900, 1, 1))) == [Posted(books.ledger, 2, False)]
    odd = await administration.lock_periods(books.database, EVERYONE, ledger="acme-us", through=date(1, 1, 1))
    assert codes(odd) == ["INVALID_DATE"]


async def test_accounts_are_created_with_parents_of_the_same_input_in_any_order(books: Books) -> None:
    before = await version(books)
    saved = await add(books, account("12", "11"), account("11", "1"), account("1"), account("13", "1000"))
    assert saved == AccountsSaved(books.ledger, ("12", "11", "1", "13"))
    found = await chart(books)
    assert [found[code] for code in ("12", "11", "1", "13")] == ["11", "1", None, "1000"]
    assert await version(books) > before


async def test_an_account_that_exists_just_so_is_a_success(books: Books) -> None:
    """Beside new ones too; and after it was closed. Nothing but new accounts bumps the version."""
    await add(books, account("1"), account("2", "1", currency="EUR", normal_side=Side.CREDIT))
    await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="1", active=False)
    before = await version(books)
    same = (account("2", "1", currency="EUR", normal_side=Side.CREDIT), account("1", normal_side=Side.DEBIT))
    assert isinstance(await add(books, *same), AccountsSaved)
    assert await version(books) == before
    assert isinstance(await add(books, *same, account("3", "2")), AccountsSaved)
    assert await version(books) > before


async def test_an_account_that_exists_differently_refuses_all(books: Books) -> None:
    others: list[dict[str, Any]] = [
        {"name": "another"}, {"type": AccountType.EXPENSE}, {"normal_side": Side.CREDIT}, {"currency": "USD"},
        {"parent": "1000"},
    ]  # fmt: skip
    await add(books, account("1"))
    for other in others:
        outcome = await add(books, account("2"), account("1", **other), account("4", "5"))
        assert isinstance(outcome, ChangeRejected)
        assert [(reason.code.value, reason.path) for reason in outcome.reasons] == [
            ("DUPLICATE_CODE", ("accounts", "1", "code")),
            ("INVALID_PARENT", ("accounts", "2", "parent")),
        ]
    assert "2" not in await chart(books)


async def test_faults_of_the_input(books: Books) -> None:
    twice = await add(books, account("1"), account("2"), account("1"))
    assert codes(twice) == ["DUPLICATE_CODE"]
    odd = await add(
        books, account("", name="\x00", currency="usd"), account("x" * 256, name="x"), account("y", "\ud800")
    )
    assert codes(odd) == ["INVALID_TEXT", "INVALID_TEXT", "UNKNOWN_CURRENCY", "INVALID_TEXT", "INVALID_TEXT"]
    many = await add(books, *[account(str(number)) for number in range(1001)])
    assert codes(many) == ["LIMIT_EXCEEDED"]
    most = await add(books, *[account(f"n{number}", f"n{number - 1}" if number else None) for number in range(1000)])
    assert isinstance(most, AccountsSaved)
    assert await add(books) == AccountsSaved(books.ledger, ())


async def test_circles_are_refused(books: Books) -> None:
    """Within the input, of one account, and through accounts that exist."""
    outcome = await add(
        books, account("a", "b"), account("b", "c"), account("c", "a"), account("d", "a"), account("e", "e")
    )
    assert isinstance(outcome, ChangeRejected)
    assert [(reason.code.value, reason.path[1]) for reason in outcome.reasons] == [
        ("INVALID_PARENT", "0"), ("INVALID_PARENT", "1"), ("INVALID_PARENT", "2"), ("INVALID_PARENT", "4")
    ]  # fmt: skip
    await add(books, account("a"), account("b", "a"), account("c", "b"))
    for code, parent in (("a", "c"), ("a", "a"), ("a", "b")):
        changed = await administration.update_account(
            books.database, EVERYONE, ledger="acme-us", code=code, parent=parent
        )
        assert codes(changed) == ["INVALID_PARENT"]
    moved = await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="c", parent="a")
    assert isinstance(moved, AccountsSaved)


async def test_an_update_leaves_absent_fields(books: Books) -> None:
    async def change(**changes: Any) -> tuple[Any, ...]:
        saved = await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="4000", **changes)
        assert saved == AccountsSaved(books.ledger, ("4000",))
        row = await books.fetch("SELECT name, active, parent_id IS NOT NULL FROM ledger.account WHERE code = '4000'")
        return tuple(row[0])

    before = await version(books)
    assert await change() == ("Sales", True, False)
    assert await change(name=UNSET, active=None) == ("Sales", True, False)
    assert await version(books) == before
    assert await change(name="Revenue") == ("Revenue", True, False)
    assert await change(parent="1000") == ("Revenue", True, True)
    assert await change(active=False) == ("Revenue", False, True)
    assert await change(parent=None, name="Sales", active=True) == ("Sales", True, False)
    assert await version(books) > before


async def test_an_update_of_what_does_not_exist(books: Books) -> None:
    async def change(code: str, **changes: Any) -> list[str]:
        return codes(
            await administration.update_account(books.database, EVERYONE, ledger="acme-us", code=code, **changes)
        )

    assert await change("nowhere", name="x") == ["UNKNOWN_ACCOUNT"]
    assert await change("4000", parent="nowhere") == ["INVALID_PARENT"]
    assert await change("4000", name=" ") == ["INVALID_TEXT"]
    assert await change("\x00", parent="\ud800") == ["INVALID_TEXT", "INVALID_TEXT"]


async def test_closing_an_account_beside_postings_is_clean(books: Books) -> None:
    """Whatever the order, an entry is posted before the account was closed, or refused after."""
    closing = administration.update_account(books.database, EVERYONE, ledger="acme-us", code="4000", active=False)
    outcomes = await asyncio.gather(
        *[books.post(entry(books.ledger, f"a{n}")) for n in range(50)], closing,
        *[books.post(entry(books.ledger, f"b{n}")) for n in range(50)],
    )  # fmt: skip
    posted = sum(isinstance(outcome[0], Posted) for outcome in outcomes if isinstance(outcome, list))
    assert (await books.counts())[0] == posted
    assert codes((await books.post(entry(books.ledger, "late")))[0]) == ["INACTIVE_ACCOUNT"]


async def test_the_directory_remembers_who_was_found_and_asks_again_for_others(books: Books) -> None:
    directory = Directory(books.database)
    assert await directory.resolve(["acme-us", "acme-eu", "\x00", "\ud800", "x" * 99]) == {"acme-us": books.ledger}
    other = await create(books.database, "acme-eu", "EUR")
    assert await directory.resolve(["acme-eu", "acme-us"]) == {"acme-us": books.ledger, "acme-eu": other}
    assert dict(directory.codes) == {books.ledger.ledger_id: "acme-us", other.ledger_id: "acme-eu"}
    assert await directory.all() == [other, books.ledger]
    await books.database.close()
    assert (await directory.resolve(["acme-us"]))["acme-us"] == books.ledger
    await books.database.open()
