"""Reading what Plaid's /transactions/sync answers: pure functions, without I/O.

Amounts at Plaid are in units of the currency and positive when money leaves the account, also of credit cards and loans, whose
balances are positive when money is owed; ours are signed minor units, and money in is positive. `date` is the institution's own
calendar date. Shapes: https://plaid.com/docs/api/products/transactions/#transactionssync
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sources.connectors.files_values import MAX_NAME, MAX_TEXT, clean
from sources.documents import BankAccount, BankStatement, BankTransaction, BankTransactionStatus, Problem
from sources.money import EXPONENTS, MAX_MINOR, parse_minor

NOT_READY = "NOT_READY"
"""What Plaid says of transactions that it has not read yet."""

_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
_CURSOR = re.compile(r"[!-~]{0,1000}", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_KEPT = (
    "transaction_id", "account_id", "amount", "iso_currency_code", "unofficial_currency_code", "date", "datetime",
    "authorized_date", "name", "original_description", "merchant_name", "pending", "pending_transaction_id",
    "payment_channel", "check_number", "transaction_code",
)  # fmt: skip
"""Fields of a transaction that are kept: not where it was made, nor how Plaid illustrates it."""
_META = ("reference_number", "payee", "payer", "by_order_of", "reason", "ppd_id")
_OWED = {"depository": False, "investment": False, "brokerage": False, "other": False, "credit": True, "loan": True}
"""Whether the balance of an account is what its holder owes, by its type."""


class Unreadable(ValueError):
    """A record that makes no document: `str()` of it says why, `code` is that of the Problem."""

    def __init__(self, message: str, code: str = "UNREADABLE_RECORD") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPage:
    """One answer. `added` and `modified` are records as Plaid wrote them; `removed`: ids; `accounts`: records by id.
    `ready`: Plaid has read the bank at least once."""

    added: tuple[Any, ...]
    modified: tuple[Any, ...]
    removed: tuple[str, ...]
    accounts: Mapping[str, Mapping[str, Any]]
    next_cursor: str
    has_more: bool
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an account holds, as Plaid states it. Signed minor units; `on`: the day of the balance where Plaid tells it."""

    account: BankAccount
    booked: int | None
    available: int | None
    on: date | None


def parse_page(answer: Any) -> SyncPage:
    """Raises ValueError, for an answer in another shape: then none of it is used."""
    if not isinstance(answer, dict):
        raise ValueError("is not an object")
    cursor, more = answer.get("next_cursor"), answer.get("has_more")
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor):
        raise ValueError("has no next_cursor")
    if not isinstance(more, bool):
        raise ValueError("has no has_more")
    return SyncPage(
        added=_records(answer, "added"),
        modified=_records(answer, "modified"),
        removed=tuple(_removed(record) for record in _records(answer, "removed")),
        accounts=parse_accounts(answer),
        next_cursor=cursor,
        has_more=more,
        ready=bool(cursor) and answer.get("transactions_update_status") != NOT_READY,
    )


def parse_accounts(answer: Any) -> Mapping[str, Mapping[str, Any]]:
    """Accounts by id, of /transactions/sync (which leaves them out where nothing happened) and /accounts/get. Raises ValueError."""
    found = answer.get("accounts") if isinstance(answer, dict) else None
    if found is not None and not isinstance(found, list):
        raise ValueError("has no list accounts")
    return {record["account_id"]: record for record in found or () if is_id(_field(record, "account_id"))}


def is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def kept(record: Any) -> dict[str, Any]:
    """The fields of a transaction that are read and kept, as JSON can hold them. Raises Unreadable for one that does not say
    which it is, of which account, of which day, and whether it is pending."""
    if not isinstance(record, dict):
        raise Unreadable("it is not an object")
    for key in ("transaction_id", "account_id"):
        if not is_id(record.get(key)):
            raise Unreadable(f"{key} is not an identifier")
    if not isinstance(record.get("pending"), bool):
        raise Unreadable("pending is neither true nor false")
    _date(record, "date")
    fields = {name: _plain(record[name]) for name in _KEPT if record.get(name) is not None}
    meta = record.get("payment_meta")
    if isinstance(meta, dict) and (stated := {name: _plain(meta[name]) for name in _META if meta.get(name)}):
        fields["payment_meta"] = stated
    parties = record.get("counterparties")
    if isinstance(parties, list) and (names := [name for each in parties if (name := _text(each, "name"))]):
        fields["counterparties"] = names[:10]
    return fields


def parse_transaction(fields: Mapping[str, Any]) -> BankTransaction:
    """What `kept` gave. A posted one is booked on its `date`; a pending one has that as value date. Raises Unreadable."""
    pending, on, currency = fields["pending"], _date(fields, "date"), currency_of(fields)
    meta = fields.get("payment_meta") or {}
    check = _text(fields, "check_number")
    return BankTransaction(
        external_id=fields["transaction_id"],
        status=BankTransactionStatus.PENDING if pending else BankTransactionStatus.BOOKED,
        amount=-_minor(fields.get("amount"), currency, "amount"),
        currency=currency,
        booked_on=None if pending else on,
        value_date=on if pending else None,
        description=_text(fields, "original_description", MAX_TEXT) or _text(fields, "name", MAX_TEXT),
        counterparty=_text(fields, "merchant_name") or _counterparty(fields, meta),
        reference=_text(meta, "reference_number") or (check and f"check {check}"),
        raw=fields,
    )


def parse_holding(record: Mapping[str, Any]) -> Holding:
    """One element of `accounts`. Raises Unreadable, also for a type that Plaid adds: then the account has no balance here."""
    balances = record.get("balances")
    if not isinstance(balances, dict):
        raise Unreadable("balances is not an object")
    currency = currency_of(balances)
    current, available = (
        None if balances.get(name) is None else _minor(balances[name], currency, f"balances.{name}")
        for name in ("current", "available")
    )
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in _OWED:
        raise Unreadable("its type is not known, so neither is the sign of its balance")
    owed = _OWED[kind]
    moment = balances.get("last_updated_datetime")
    title, mask = _text(record, "official_name") or _text(record, "name"), _text(record, "mask", 10)
    return Holding(
        account=BankAccount(
            external_id=record["account_id"],
            currency=currency,
            name=clean(f"{title or 'Account'} {mask}" if mask else title),
        ),
        booked=-current if owed and current is not None else current,
        available=None if owed else available,  # of a card: what may still be borrowed
        on=_day_of(moment),
    )


def statement(fields: Mapping[str, Any], accounts: Mapping[str, BankAccount]) -> BankStatement:
    """A posted transaction as a statement of its own, without balances, so that Plaid can change and remove it alone.
    Raises Unreadable."""
    transaction = parse_transaction(fields)
    account_id = fields["account_id"]
    account = accounts.get(account_id) or BankAccount(external_id=account_id, currency=transaction.currency)
    return BankStatement(
        external_id=transaction.external_id, account=account, provisional=False, transactions=(transaction,)
    )


def currency_of(record: Mapping[str, Any]) -> str:
    """Raises Unreadable, also for what Plaid calls an unofficial currency, such as that of a crypto asset."""
    code = record.get("iso_currency_code")
    if isinstance(code, str) and code in EXPONENTS:
        return code
    shown = clean(str(code or record.get("unofficial_currency_code") or "none"), 20)
    raise Unreadable(f"its currency {shown} is not of ISO 4217", "UNKNOWN_CURRENCY")


def unreadable(kind: str, identifier: Any, error: Unreadable) -> Problem:
    """The Problem of a record; it names no party."""
    subject, again = (
        (f"{kind} {identifier}", f"{kind}/{identifier}") if is_id(identifier) else (f"a {kind} without an id", None)
    )
    message = f"It could not be read: {error}. The others were."
    return Problem(subject=subject, code=error.code, message=message, again=again)


def identifier_of(record: Any) -> Any:
    return _field(record, "transaction_id")


def _records(answer: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise ValueError(f"has no list {name}")
    return tuple(found)


def _removed(record: Any) -> str:
    identifier = _field(record, "transaction_id")
    if not is_id(identifier):
        raise ValueError("names a removed transaction without an id")
    return str(identifier)


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _text(record: Any, name: str, limit: int = MAX_NAME) -> str | None:
    value = _field(record, name)
    return clean(value, limit) if isinstance(value, str) else None


def _counterparty(fields: Mapping[str, Any], meta: Mapping[str, Any]) -> str | None:
    parties = fields.get("counterparties")
    if isinstance(parties, list) and parties:
        return clean(parties[0])
    return _text(meta, "payee") or _text(meta, "payer") or _text(meta, "by_order_of")


def _date(record: Mapping[str, Any], name: str) -> date:
    value = record.get(name)
    try:
        if isinstance(value, str) and _ISO_DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        raise Unreadable(f"{name} is no calendar date") from None
    raise Unreadable(f"{name} is not a date")


def _day_of(moment: Any) -> date | None:
    """The calendar day that a timestamp states, in its own time zone."""
    try:
        return date.fromisoformat(moment[:10]) if isinstance(moment, str) else None
    except ValueError:
        return None


def _minor(value: Any, currency: str, name: str) -> int:
    """A number of JSON, or its text where it was kept, as minor units."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Unreadable(f"{name} is not a number")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise Unreadable(f"{name} is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > 20:  # before it is written out: 1E+999999 is a short text
        raise Unreadable(f"{name} is out of range", "AMOUNT_OUT_OF_RANGE")
    try:
        minor = parse_minor(format(number, "f"), EXPONENTS[currency])
    except ValueError as error:
        raise Unreadable(f"{name} {error}", "INEXACT_AMOUNT") from None
    if abs(minor) > MAX_MINOR:
        raise Unreadable(f"{name} is out of range", "AMOUNT_OUT_OF_RANGE")
    return minor


def _plain(value: Any) -> Any:
    """A scalar of JSON, decimals as their exact text; anything else has no place in a field that is a scalar at Plaid."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    if isinstance(value, str):
        return clean(value, MAX_TEXT) or ""
    return value if isinstance(value, bool) else None
