"""Ledgers and charts of accounts: created, renamed, locked. Each change is one transaction that waits for the ledger's head,
so changes and postings of a ledger come one after the other. Refusals are values (`ChangeRejected`), all reasons at once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Final

from sources.caller import Caller
from sources.ledger.model import (
    UNSET,
    AccountDraft,
    AccountsSaved,
    AccountType,
    ChangeRejected,
    LedgerRef,
    Reason,
    RejectionCode,
    Side,
    Unset,
)
from sources.ledger.posting import WritesDatabase
from sources.ledger.rules import FIRST_DATE, LAST_DATE
from sources.ledger.texts import MAX_CODE, text_faults
from sources.money import EXPONENTS

if TYPE_CHECKING:
    from sources.database.pool import Connection

MAX_ACCOUNTS: Final = 1_000
_LEDGER_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_NORMAL_SIDES: Final = {
    AccountType.ASSET: Side.DEBIT,
    AccountType.EXPENSE: Side.DEBIT,
    AccountType.LIABILITY: Side.CREDIT,
    AccountType.EQUITY: Side.CREDIT,
    AccountType.REVENUE: Side.CREDIT,
}


async def create_ledger(
    database: WritesDatabase, caller: Caller, *, code: str, name: str, functional_currency: str
) -> LedgerRef | ChangeRejected:
    """A new ledger; one that exists just so is a success. A caller whose token lists ledgers creates only those.
    Raises DatabaseUnavailable."""
    reasons = [*_ledger_code_faults(code), *text_faults(name, ("name",), MAX_CODE, required=True)]
    reasons += _currency_faults(functional_currency, ("functionalCurrency",))
    if not reasons and not caller.may_see(code):
        reasons.append(_unknown_ledger(code, ("code",)))
    if reasons:
        return ChangeRejected(tuple(reasons))
    async with database.writer() as connection:
        row = await connection.fetchrow(
            "SELECT ledger_id, created, is_same FROM ledger.create_ledger($1, $2, $3)", code, name, functional_currency
        )
    assert row is not None
    if not row["is_same"]:
        message = f"there is a ledger {code} with another name or currency; take another code"
        return ChangeRejected((Reason(RejectionCode.DUPLICATE_CODE, message, ("code",)),))
    return LedgerRef(row["ledger_id"], code, functional_currency)


async def update_ledger(
    database: WritesDatabase, caller: Caller, *, code: str, name: str
) -> LedgerRef | ChangeRejected:
    """Renames a ledger. Raises DatabaseUnavailable."""
    reasons = text_faults(name, ("name",), MAX_CODE, required=True)
    async with _changing(database, caller, code) as (connection, ledger):
        if ledger is None:
            reasons.append(_unknown_ledger(code, ("code",)))
        if ledger is None or reasons:
            return ChangeRejected(tuple(reasons))
        await connection.execute("SELECT ledger.update_ledger($1, $2)", ledger.ledger_id, name)
        return ledger


async def lock_periods(
    database: WritesDatabase, caller: Caller, *, ledger: str, through: date | None
) -> LedgerRef | ChangeRejected:
    """Refuses entries dated up to `through` from now on; an earlier date reopens, None reopens all.
    Raises DatabaseUnavailable."""
    reasons = []
    if through is not None and not FIRST_DATE <= through <= LAST_DATE:
        message = f"through {through} is outside {FIRST_DATE} to {LAST_DATE}"
        reasons.append(Reason(RejectionCode.INVALID_DATE, message, ("through",)))
    async with _changing(database, caller, ledger) as (connection, found):
        if found is None:
            reasons.append(_unknown_ledger(ledger, ("ledger",)))
        if found is None or reasons:
            return ChangeRejected(tuple(reasons))
        await connection.execute("SELECT ledger.lock_periods($1, $2)", found.ledger_id, through)
        return found


async def create_accounts(
    database: WritesDatabase, caller: Caller, *, ledger: str, accounts: Sequence[AccountDraft]
) -> AccountsSaved | ChangeRejected:
    """All or none, at most 1,000; an account that exists just so is a success. Raises DatabaseUnavailable."""
    if len(accounts) > MAX_ACCOUNTS:
        message = f"at most {MAX_ACCOUNTS:,} accounts at once; these are {len(accounts):,}: send the others after them"
        return ChangeRejected((Reason(RejectionCode.LIMIT_EXCEEDED, message, ("accounts",)),))
    reasons = [*_account_faults(accounts), *_repeated(accounts), *_circles(accounts)]
    async with _changing(database, caller, ledger) as (connection, found):
        if found is None:
            reasons.append(_unknown_ledger(ledger, ("ledger",)))
        if found is not None and not reasons:
            reasons = await _store_accounts(connection, found, accounts)
        if found is None or reasons:
            return ChangeRejected(tuple(reasons))
        return AccountsSaved(found, tuple(account.code for account in accounts))


async def update_account(
    database: WritesDatabase,
    caller: Caller,
    *,
    ledger: str,
    code: str,
    name: str | Unset | None = UNSET,
    active: bool | Unset | None = UNSET,
    parent: str | Unset | None = UNSET,
) -> AccountsSaved | ChangeRejected:
    """What is UNSET stays as it is, and so does a name or `active` that is None; `parent` None: no parent any more.
    Raises DatabaseUnavailable."""
    new_name = None if isinstance(name, Unset) else name
    new_active = None if isinstance(active, Unset) else active
    new_parent = None if isinstance(parent, Unset) else parent
    reasons = text_faults(code, ("code",), MAX_CODE)
    reasons += text_faults(new_name, ("name",), MAX_CODE, required=True) if new_name is not None else []
    reasons += text_faults(new_parent, ("parent",), MAX_CODE) if new_parent is not None else []
    async with _changing(database, caller, ledger) as (connection, found):
        if found is None:
            reasons.append(_unknown_ledger(ledger, ("ledger",)))
        if found is None or reasons:
            return ChangeRejected(tuple(reasons))
        changes = (code, new_name, new_active, not isinstance(parent, Unset), new_parent)
        statement = "SELECT ledger.update_account($1, $2, $3, $4, $5, $6)"
        fault = await connection.fetchval(statement, found.ledger_id, *changes)
        if fault == "UNKNOWN_ACCOUNT":
            message = f"there is no account {code!r} in ledger {ledger}"
            return ChangeRejected((Reason(RejectionCode.UNKNOWN_ACCOUNT, message, ("code",)),))
        if fault is not None:
            return ChangeRejected((_parent_fault(fault, code, new_parent, ("parent",)),))
        return AccountsSaved(found, (code,))


@asynccontextmanager
async def _changing(
    database: WritesDatabase, caller: Caller, code: str
) -> AsyncIterator[tuple[Connection, LedgerRef | None]]:
    """A transaction that may see and change this ledger alone; None: the caller may not, or there is none."""
    async with database.writer() as connection, connection.transaction():
        row = None
        if caller.may_see(code) and _LEDGER_CODE.fullmatch(code):
            await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
            row = await connection.fetchrow(
                "SELECT ledger_id, code, functional_currency FROM ledger.ledger WHERE code = $1", code
            )
        claim = str(row["ledger_id"]) if row else ""
        await connection.execute("SELECT set_config('ledgergraph.ledgers', $1, true)", claim)
        yield connection, LedgerRef(row["ledger_id"], row["code"], row["functional_currency"]) if row else None


async def _store_accounts(connection: Connection, ledger: LedgerRef, accounts: Sequence[AccountDraft]) -> list[Reason]:
    rows = await connection.fetch(
        "SELECT at_position, fault FROM ledger.create_accounts($1, $2, $3, $4, $5, $6, $7)",
        ledger.ledger_id,
        [account.code for account in accounts],
        [account.name for account in accounts],
        [account.type.value for account in accounts],
        [(account.normal_side or _NORMAL_SIDES[account.type]).value for account in accounts],
        [account.currency for account in accounts],
        [account.parent for account in accounts],
    )
    reasons = []
    for row in rows:
        index = row["at_position"] - 1
        account = accounts[index]
        if row["fault"] == "DUPLICATE_CODE":
            message = f"there is an account {account.code!r} that differs; update it, or take another code"
            reasons.append(Reason(RejectionCode.DUPLICATE_CODE, message, ("accounts", str(index), "code")))
        else:
            path = ("accounts", str(index), "parent")
            reasons.append(_parent_fault(row["fault"], account.code, account.parent, path))
    return reasons


# ---------------------------------------------------------------- rules of the input


def _ledger_code_faults(code: str) -> Iterable[Reason]:
    if not _LEDGER_CODE.fullmatch(code):
        message = "code begins with a-z or 0-9 and goes on with a-z, 0-9, _ and -, at most 63 characters"
        yield Reason(RejectionCode.INVALID_TEXT, message, ("code",))


def _currency_faults(currency: str, path: tuple[str, ...]) -> Iterable[Reason]:
    if currency not in EXPONENTS:
        message = f"{currency[:20]!r} is not an ISO 4217 currency; write its code of three capitals"
        yield Reason(RejectionCode.UNKNOWN_CURRENCY, message, path)


def _account_faults(accounts: Sequence[AccountDraft]) -> Iterable[Reason]:
    for index, account in enumerate(accounts):
        path = ("accounts", str(index))
        yield from text_faults(account.code, (*path, "code"), MAX_CODE, required=True)
        yield from text_faults(account.name, (*path, "name"), MAX_CODE, required=True)
        if account.currency is not None:
            yield from _currency_faults(account.currency, (*path, "currency"))
        if account.parent is not None:
            yield from text_faults(account.parent, (*path, "parent"), MAX_CODE)


def _repeated(accounts: Sequence[AccountDraft]) -> Iterable[Reason]:
    seen: set[str] = set()
    for index, account in enumerate(accounts):
        if account.code in seen:
            message = f"the code {account.code!r} is there twice; state each account once"
            yield Reason(RejectionCode.DUPLICATE_CODE, message, ("accounts", str(index), "code"))
        seen.add(account.code)


def _circles(accounts: Sequence[AccountDraft]) -> Iterable[Reason]:
    """Accounts of the input that lead back to themselves; a chain that leaves the input cannot, for what it reaches is
    older than the input."""
    parents = {account.code: account.parent for account in accounts}
    rooted: set[str] = set()
    for index, account in enumerate(accounts):
        path: dict[str, None] = {}
        above: str | None = account.code
        while above in parents and above not in rooted and above not in path:
            path[above] = None
            above = parents[above]
        if above in path:
            if above == account.code:
                yield _parent_fault("CIRCLE", account.code, account.parent, ("accounts", str(index), "parent"))
        else:
            rooted.update(path)


def _unknown_ledger(code: str, path: tuple[str, ...]) -> Reason:
    return Reason(RejectionCode.UNKNOWN_LEDGER, f"there is no ledger {code[:63]!r} that your token can see", path)


def _parent_fault(fault: str, code: str, parent: str | None, path: tuple[str, ...]) -> Reason:
    if fault == "CIRCLE":
        message = f"the account {code!r} would be a part of itself; name a parent that is not below it"
    else:
        message = f"there is no account {parent!r} to be the parent of {code!r}; create it first, or in the same input"
    return Reason(RejectionCode.INVALID_PARENT, message, path)
