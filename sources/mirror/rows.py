"""Documents as rows of the mirror's tables: plain values by column name, ready to become JSON. No I/O."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

import orjson

from sources.documents import BankStatement, BankTransaction, Invoice, Payment, PayrollRun, Payslip
from sources.money import EXPONENTS, MAX_MINOR
from sources.texts import clean, plain

Row = dict[str, Any]
MAX_KEY = 1_000
"""Characters of an external id: an index entry holds some 2,700 bytes."""
MAX_MESSAGE = 2_000


class Unstorable(ValueError):
    """A document that the mirror cannot hold; the message says why."""


def invoice_row(invoice: Invoice) -> Row:
    """Raises Unstorable."""
    _check(invoice.external_id, invoice.currency)
    row = _plain(invoice, leave=("party", "lines", "taxes", "raw"))
    row |= {f"party_{name}": value for name, value in _plain(invoice.party).items()}
    row["lines"] = [_plain(line) for line in invoice.lines]
    row["listed_on"] = invoice.issue_date or date.min
    row["taxes"] = None if invoice.taxes is None else [_plain(tax) for tax in invoice.taxes]
    row["raw"] = _storable(invoice.raw)
    row["content_hash"] = _digest(row)
    return row


def payment_row(payment: Payment) -> Row:
    """Which payout paid it out is no part of its hash: that is known later, and says nothing new of it. Raises Unstorable."""
    _check(payment.external_id, payment.currency)
    if payment.presented_currency is not None:
        _check(payment.external_id, payment.presented_currency)
    if payment.fee is not None and payment.net is not None and payment.net != payment.amount - payment.fee:
        raise Unstorable("its net is not its amount less its fee")
    row = _plain(payment, leave=("party", "paid_out", "raw"))
    if payment.party is not None:
        row |= {f"party_{name}": value for name, value in _plain(payment.party).items()}
    row["paid_out"] = [clean(each) for each in payment.paid_out]
    row["raw"] = _storable(payment.raw)
    row["content_hash"] = _digest({name: value for name, value in row.items() if name != "payout_external_id"})
    return row


def payroll_run_row(run: PayrollRun, slips: list[Row]) -> Row:
    """Its hash covers its payslips too, which are rows of their own. Raises Unstorable."""
    _check(run.external_id, run.currency)
    row = _plain(run, leave=("payslips", "raw"))
    row["raw"] = _storable(run.raw)
    row["content_hash"] = _digest([row, slips if run.payslips is not None else None])
    return row


def payslip_row(slip: Payslip, position: int) -> Row:
    """Raises Unstorable."""
    _check(slip.external_id)
    return {**_plain(slip), "position": position}


def account_row(statement: BankStatement) -> Row:
    """Raises Unstorable."""
    _check(statement.account.external_id, statement.account.currency)
    return _plain(statement.account)


def transaction_row(statement: BankStatement, transaction: BankTransaction, position: int) -> Row:
    """Raises Unstorable."""
    _check(transaction.external_id, transaction.currency)
    return {
        **_plain(transaction, leave=("raw",)),
        "raw": _storable(transaction.raw),
        "account": clean(statement.account.external_id),
        "statement": clean(statement.external_id),
        "position": position,
        "provisional": statement.provisional,
        "listed_booked": transaction.booked_on or date.max,
        "listed_value": transaction.value_date or date.max,
        "dated_on": transaction.booked_on or transaction.value_date or ends_on(statement),
    }


def statement_row(statement: BankStatement, transactions: list[Row]) -> Row:
    """Its hash covers its transactions too. Raises Unstorable."""
    _check(statement.external_id)
    row = _plain(statement, leave=("account", "transactions", "warnings"))
    row["warnings"] = [clean(warning)[:MAX_MESSAGE] for warning in statement.warnings]
    row["account"] = clean(statement.account.external_id)
    row["currency"] = statement.account.currency
    row["ends_on"] = ends_on(statement)
    row["content_hash"] = _digest([row, transactions])
    return row


def ends_on(statement: BankStatement) -> date | None:
    """The day that a statement reaches to: as it says, else its last transaction's, else the day that it begins."""
    dates = [day for each in statement.transactions if (day := each.booked_on or each.value_date)]
    return statement.to_date or max(dates, default=statement.from_date)


def encoded(value: Any) -> bytes:
    """JSON with sorted keys; dates as ISO 8601. Raises Unstorable."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Unstorable("its payload is not JSON, or is nested too deeply") from error


def _storable(value: Any) -> Any:
    try:
        return plain(value)
    except RecursionError:
        raise Unstorable("its payload is nested too deeply") from None


def _plain(value: Any, leave: tuple[str, ...] = ()) -> Row:
    row = {name: getattr(value, name) for name in value.__dataclass_fields__ if name not in leave}
    for name, each in row.items():
        if isinstance(each, int) and abs(each) > MAX_MINOR:
            raise Unstorable(f"its {name} is beyond {MAX_MINOR} minor units, the largest amount of a ledger's line")
        if isinstance(each, str):
            row[name] = clean(each)
    return row


def _check(external_id: str, currency: str | None = None) -> None:
    if not 0 < len(clean(external_id)) <= MAX_KEY:
        raise Unstorable(f"its id must have between 1 and {MAX_KEY} characters")
    if currency is not None and currency not in EXPONENTS:
        raise Unstorable(f"its currency {clean(currency)[:10]!r} is not of ISO 4217")


def _digest(value: Any) -> str:
    return "\\x" + hashlib.sha256(encoded(value)).hexdigest()
