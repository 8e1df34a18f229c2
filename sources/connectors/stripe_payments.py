"""Stripe's movements of money in our terms: pure functions from the API's JSON to payments. No I/O.

Field definitions: https://docs.stripe.com/api/charges/object, refunds, disputes, payouts and balance_transactions of the same
reference. How they become ours:
- Amounts are those of the balance transaction, in the currency of the Stripe balance, signed as there: money in is positive.
  Where it is another one than the payer's, that amount is the presented one. Without a balance transaction (money that has not
  moved, or a server that does not expand it) amounts are the object's own, and fee and net are not known.
- A charge counts for what was captured of it. One that is authorised alone is PENDING; one that was released is CANCELED.
- A charge, refund or payout that fails after it moved money is FAILED, and counts for nothing: what moved came back.
  What Stripe charges for the failure is a fee of its own.
- A dispute takes its money with its first balance transaction; each later one (funds reinstated) is a payment of its own,
  whose parent is the dispute. An inquiry moves nothing.
- A payout's amount is negative. It is SUCCEEDED when the bank has it, and its reference is the bank's where that is known.
- Of balance transactions, those that no object above stands for are payments of their own: fees (also those of the platform,
  positive), and as TRANSFER everything else, so that all payments add up to the balance. Which is which is told by
  reporting_category: https://docs.stripe.com/reports/reporting-categories.
Days are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sources.connectors.stripe_records import (
    Money,
    Record,
    UnreadableRecord,
    day,
    identity,
    items,
    mapping,
    reference,
    text,
    whole,
)
from sources.documents import Party, Payment, PaymentStatus, PaymentType
from sources.texts import plain

_REFUNDS = {
    "succeeded": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "canceled": PaymentStatus.CANCELED,
}
_PAYOUTS = {"paid": PaymentStatus.SUCCEEDED, "failed": PaymentStatus.FAILED, "canceled": PaymentStatus.CANCELED}
_OPEN_DISPUTES = frozenset({"needs_response", "under_review", "warning_needs_response", "warning_under_review"})

COVERED: Mapping[str, str] = {
    "charge": "charges",
    "charge_failure": "charges",
    "partial_capture_reversal": "charges",
    "refund": "refunds",
    "refund_failure": "refunds",
    "dispute": "disputes",
    "dispute_reversal": "disputes",
    "payout": "payouts",
    "payout_reversal": "payouts",
}
"""Reporting category of a balance transaction -> the collection of the object that stands for it."""

_BACK = frozenset({"charge_failure", "refund_failure", "payout_reversal"})
_FEES = frozenset({"fee", "network_cost", "tax", "platform_earning", "platform_earning_refund"})

# https://docs.stripe.com/api/balance_transactions/object#balance_transaction_object-type, where no category is stated.
_CATEGORIES = {
    "payment": "charge",
    "payment_failure_refund": "charge_failure",
    "payment_refund": "refund",
    "refund_failure": "refund_failure",
    "payout_failure": "payout_reversal",
    "payout_cancel": "payout_reversal",
    "stripe_fee": "fee",
    "stripe_fx_fee": "fee",
    "tax_fee": "tax",
    "application_fee": "platform_earning",
    "application_fee_refund": "platform_earning_refund",
}

# What opens something to whoever holds it, and what a payer or merchant told the bank about a person.
_UNKEPT = frozenset({"client_secret", "receipt_url", "evidence"})


def parse_charge(record: Record, invoice: str | None) -> Payment:
    """A charge. `invoice`: the id of the invoice that it pays, where it does not say so itself. Raises UnreadableRecord."""
    money = Money(record)
    captured = record.get("captured") is not False
    amount = (money.get(record, "amount_captured") if captured else None) or money.need(record, "amount")
    return Payment(
        external_id=identity(record),
        type=PaymentType.PAYMENT,
        status=_charge_status(record, captured),
        source_status=text(record, "status") or "",
        **_figures(record, money, amount, mapping(record, "balance_transaction")),
        party=_payer(record),
        invoice_external_id=reference(record.get("invoice")) or invoice,
        description=text(record, "description"),
        reference=reference(record.get("payment_intent")),
        raw=_raw(record),
    )


def parse_refund(record: Record, invoice: str | None) -> Payment:
    """A refund. `invoice`: as of its charge. Raises UnreadableRecord."""
    money, moved = Money(record), mapping(record, "balance_transaction")
    status = text(record, "status")
    unstated = PaymentStatus.SUCCEEDED if moved and status is None else PaymentStatus.PENDING
    return Payment(
        external_id=identity(record),
        type=PaymentType.REFUND,
        status=_REFUNDS.get(status or "", unstated),
        source_status=status or "",
        **_figures(record, money, -money.need(record, "amount"), moved),
        party=_payer(mapping(record, "charge")),
        invoice_external_id=invoice,
        parent_external_id=reference(record.get("charge")),
        description=text(record, "description") or text(record, "reason"),
        reference=reference(record.get("payment_intent")),
        raw=_raw(record),
    )


def parse_dispute(record: Record, invoice: str | None) -> list[Payment]:
    """A dispute, and what moved after its funds were withdrawn. `invoice`: as of its charge. Raises UnreadableRecord."""
    money, charge = Money(record), mapping(record, "charge")
    stated = text(record, "status") or ""
    moves = sorted(
        items(record, "balance_transactions") or [], key=lambda each: (whole(each, "created") or 0, identity(each))
    )
    common: dict[str, Any] = {
        "type": PaymentType.DISPUTE,
        "source_status": stated,
        "party": _payer(charge),
        "invoice_external_id": invoice,
        "description": text(record, "reason"),
        "reference": reference(record.get("payment_intent")),
    }
    unmoved = PaymentStatus.PENDING if stated in _OPEN_DISPUTES else PaymentStatus.CANCELED
    first = Payment(
        external_id=identity(record),
        status=PaymentStatus.SUCCEEDED if moves else unmoved,
        **_figures(record, money, -money.need(record, "amount"), moves[0] if moves else {}),
        parent_external_id=reference(record.get("charge")),
        raw=_raw(record),
        **common,
    )
    return [first, *(_later_move(move, first.external_id, common) for move in moves[1:])]


def _later_move(move: Record, dispute: str, common: Mapping[str, Any]) -> Payment:
    return Payment(
        external_id=identity(move),
        status=PaymentStatus.SUCCEEDED,
        **_figures(move, Money(move), 0, move),
        parent_external_id=dispute,
        raw=_raw(move),
        **common,
    )


def parse_payout(record: Record, paid_out: Iterable[str]) -> Payment:
    """A payout. `paid_out`: external ids of what it pays out, as far as known. Raises UnreadableRecord."""
    money = Money(record)
    stated = text(record, "status") or ""
    figures = _figures(record, money, -money.need(record, "amount"), mapping(record, "balance_transaction"))
    return Payment(
        external_id=identity(record),
        type=PaymentType.PAYOUT,
        status=_PAYOUTS.get(stated, PaymentStatus.PENDING),
        source_status=stated,
        **figures | {"available_on": day(record, "arrival_date") or figures["available_on"]},
        description=text(record, "description"),
        reference=text(mapping(record, "trace_id"), "value") or text(record, "statement_descriptor"),
        bank_account=reference(record.get("destination")),
        paid_out=tuple(paid_out),
        raw=_raw(record),
    )


def parse_movement(record: Record) -> Payment | None:
    """A balance transaction, None where another object stands for all of it. Raises UnreadableRecord."""
    category = category_of(record)
    money = Money(record)
    figures = _figures(record, money, 0, record)
    if category in COVERED:
        if category not in _BACK or not figures["fee"]:
            return None
        figures |= {"amount": -figures["fee"], "net": -figures["fee"], "fee": 0}
    fee = category in _FEES or category in COVERED
    source = reference(record.get("source"))
    return Payment(
        external_id=identity(record),
        type=PaymentType.FEE if fee else PaymentType.TRANSFER,
        status=PaymentStatus.SUCCEEDED,
        source_status=text(record, "status") or "",
        **figures,
        parent_external_id=source if category in COVERED else None,
        description=text(record, "description") or category.replace("_", " "),
        reference=source,
        raw=_raw(record),
    )


def category_of(record: Record) -> str:
    """What a balance transaction is about, in the words of Stripe's reporting categories. Raises UnreadableRecord."""
    kind = text(record, "type") or ""
    by_type = _CATEGORIES.get(kind, kind)
    category = text(record, "reporting_category") or by_type
    if not category:
        raise UnreadableRecord("it has no type")
    # A category that is new to us must not make a second payment beside the object that stands for it.
    return by_type if by_type in COVERED and category not in {*COVERED, *_FEES} else category


def stands_for(record: Record) -> str | None:
    """The external id of the payment that a balance transaction is counted in. Raises UnreadableRecord."""
    category = category_of(record)
    own = category not in COVERED or category == "dispute_reversal"
    return identity(record) if own else reference(record.get("source"))


def _charge_status(record: Record, captured: bool) -> PaymentStatus:
    stated = text(record, "status")
    if stated == "succeeded" and not captured:
        return PaymentStatus.CANCELED if record.get("refunded") is True else PaymentStatus.PENDING
    return {"succeeded": PaymentStatus.SUCCEEDED, "failed": PaymentStatus.FAILED}.get(
        stated or "", PaymentStatus.PENDING
    )


def _figures(record: Record, money: Money, amount: int, moved: Record) -> dict[str, Any]:
    """Amounts and days of a payment: those of the balance transaction, where there is one, else the object's own amount."""
    created = day(record, "created")
    if not moved:
        if created is None:
            raise UnreadableRecord("it has no created")
        return {"currency": money.currency, "amount": amount, "occurred_on": created, "available_on": None}
    balance = Money(moved)
    gross, fee = balance.need(moved, "amount"), balance.get(moved, "fee") or 0
    if (stated := balance.get(moved, "net")) is not None and stated != gross - fee:
        raise UnreadableRecord(f"its net {stated} is not its amount {gross} less its fee {fee}", "DISAGREEING_FIGURES")
    occurred = day(moved, "created") or created
    if occurred is None:
        raise UnreadableRecord("it has no created")
    figures = {"currency": balance.currency, "amount": gross, "fee": fee, "net": gross - fee}
    figures |= {"occurred_on": occurred, "available_on": day(moved, "available_on")}
    if money.currency != balance.currency:
        figures |= {"presented_currency": money.currency, "presented_amount": amount}
    return figures


def _payer(charge: Record) -> Party | None:
    known, billing = mapping(charge, "customer"), mapping(charge, "billing_details")
    external_id = reference(charge.get("customer"))
    names = (text(known, "name"), text(billing, "name"), text(known, "email"), text(billing, "email"), external_id)
    name = next((each for each in names if each), None)
    return Party(name=name, external_id=external_id) if name else None


def _raw(record: Record) -> Record:
    try:
        kept = {key: _kept(value) for key, value in record.items() if key not in _UNKEPT}
        for key in ("customer", "charge"):
            if isinstance(kept.get(key), dict):
                kept[key] = reference(kept[key])
        raw: Record = plain(kept)
    except RecursionError:
        raise UnreadableRecord("it is nested too deeply") from None
    return raw


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items() if key not in _UNKEPT}
    return [_kept(each) for each in value] if isinstance(value, list) else value
