"""The money at the invented Stripe account: charges, refunds, disputes, payouts, and the balance transactions of all of them.

Objects have the shape of API version 2025-03-31. Methods move money as Stripe would and record the event. Fees are 2.9 % and 30
cents of a charge, 15.00 of a dispute.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Record = Callable[[str, Object, int], None]

DAY = 86_400
DISPUTE_FEE = 1_500
AVAILABLE_AFTER = 2 * DAY


@dataclass(slots=True)
class StripeMoney:
    """Objects by id, newest last. `record` adds an event; `paid_out`: payout id -> ids of its balance transactions."""

    seed: int
    record: Record
    charges: dict[str, Object] = field(default_factory=dict)
    refunds: dict[str, Object] = field(default_factory=dict)
    disputes: dict[str, Object] = field(default_factory=dict)
    payouts: dict[str, Object] = field(default_factory=dict)
    movements: dict[str, Object] = field(default_factory=dict)
    invoice_payments: dict[str, Object] = field(default_factory=dict)
    payments_by_invoice: dict[str, list[Object]] = field(default_factory=dict)
    paid_out: dict[str, list[str]] = field(default_factory=dict)
    numbers: int = 0

    @property
    def balance(self) -> int:
        """What all balance transactions add up to."""
        return sum(movement["net"] for movement in self.movements.values())

    def charge(self, amount: int, at: int, customer: Object | None = None, invoice: Object | None = None) -> Object:
        """A card is charged, for an invoice or without one."""
        intent = self._token("pi") if customer else None
        charge = {
            **self._base("charge", "ch", at),
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": 0,
            "billing_details": {"email": None, "name": None if customer else "A visitor", "phone": None},
            "captured": True,
            "customer": customer and customer["id"],
            "description": invoice and f"Payment for invoice {invoice['number']}",
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "paid": True,
            "payment_intent": intent,
            "receipt_url": "https://pay.stripe.example/receipts/secret",
            "refunded": False,
            "status": "succeeded",
        }
        charge["balance_transaction"] = self._move("charge", charge["id"], amount, amount * 29 // 1000 + 30, at)["id"]
        self.charges[charge["id"]] = charge
        if invoice is not None:
            payment = {"type": "payment_intent", "payment_intent": intent}
            paid = {**self._base("invoice_payment", "inpay", at), "invoice": invoice["id"], "payment": payment}
            paid |= {"amount_paid": amount, "status": "paid"}
            self.invoice_payments[paid["id"]] = paid
            self.payments_by_invoice.setdefault(invoice["id"], []).append(paid)
        self.record("charge.succeeded", charge, at)
        return charge

    def payments_of(self, invoice_id: str) -> list[Object]:
        return self.payments_by_invoice.get(invoice_id, [])

    def authorise(self, amount: int, at: int) -> Object:
        """Money that is reserved and not taken."""
        charge = self.charge(amount, at)
        del self.movements[charge["balance_transaction"]]
        charge |= {"amount_captured": 0, "balance_transaction": None, "captured": False}
        return charge

    def capture(self, charge: Object, amount: int, at: int) -> None:
        moved = self._move("charge", charge["id"], amount, amount * 29 // 1000 + 30, at)
        charge |= {"amount_captured": amount, "balance_transaction": moved["id"], "captured": True}
        self.record("charge.captured", charge, at)

    def release(self, charge: Object, at: int) -> None:
        charge |= {"refunded": True, "amount_refunded": charge["amount"]}
        self.record("charge.refunded", charge, at)

    def refund(self, charge: Object, amount: int, at: int) -> Object:
        """Stripe keeps its fee."""
        refund = {
            **self._base("refund", "re", at),
            "amount": amount,
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "reason": "requested_by_customer",
            "status": "succeeded",
        }
        del refund["livemode"]
        refund["balance_transaction"] = self._move("refund", refund["id"], -amount, 0, at)["id"]
        self.refunds[refund["id"]] = refund
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.record("charge.refunded", charge, at)
        self.record("refund.created", refund, at)
        return refund

    def fail_refund(self, refund: Object, at: int, fee: int = 0) -> None:
        """The payer's bank sends it back, and Stripe may charge for that."""
        self._move("refund_failure", refund["id"], refund["amount"], fee, at)
        refund["status"] = "failed"
        self.record("refund.failed", refund, at)

    def dispute(self, charge: Object, at: int, *, inquiry: bool = False) -> Object:
        """A payer's bank takes its money back; with an inquiry it asks first."""
        dispute = {
            **self._base("dispute", "dp", at),
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "evidence": {"customer_name": "Someone", "customer_purchase_ip": "192.0.2.7"},
            "payment_intent": charge["payment_intent"],
            "reason": "fraudulent",
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
        self.disputes[dispute["id"]] = dispute
        charge["disputed"] = True
        self.record("charge.dispute.created", dispute, at)
        if not inquiry:
            self._of_dispute(dispute, "dispute", -dispute["amount"], DISPUTE_FEE, at)
            self.record("charge.dispute.funds_withdrawn", dispute, at)
        return dispute

    def close_dispute(self, dispute: Object, status: str, at: int) -> None:
        """won: the money comes back, the fee does not; lost; warning_closed, after an inquiry."""
        dispute["status"] = status
        if status == "won":
            self._of_dispute(dispute, "dispute_reversal", dispute["amount"], 0, at)
            self.record("charge.dispute.funds_reinstated", dispute, at)
        self.record("charge.dispute.closed", dispute, at)

    def fee(self, amount: int, at: int, description: str = "Radar (2026-03-01 - 2026-03-31)") -> Object:
        """What Stripe charges for itself. There is no event of it."""
        moved = self._move("fee", None, -amount, 0, at)
        moved |= {"description": description, "type": "stripe_fee"}
        return moved

    def contribute(self, amount: int, at: int) -> Object:
        """A gift to the removal of carbon, out of the balance. There is no event of it."""
        moved = self._move("contribution", None, -amount, 0, at)
        moved["description"] = "Stripe Climate contribution"
        return moved

    def pay_out(self, at: int) -> Object | None:
        """An automatic payout of everything that no payout has paid out yet, as far as that is money of ours."""
        done = {movement for movements in self.paid_out.values() for movement in movements}
        wanted = [each for each in self.movements.values() if each["created"] <= at and each["id"] not in done]
        wanted = [each for each in wanted if not each["type"].startswith("payout")]
        amount = sum(movement["net"] for movement in wanted)
        if amount <= 0:
            return None
        payout = {
            **self._base("payout", "po", at),
            "amount": amount,
            "arrival_date": at + AVAILABLE_AFTER,
            "automatic": True,
            "description": "STRIPE PAYOUT",
            "destination": "ba_1AcmeOperating",
            "failure_balance_transaction": None,
            "method": "standard",
            "reconciliation_status": "completed",
            "statement_descriptor": None,
            "status": "in_transit",
            "trace_id": {"status": "pending", "value": None},
            "type": "bank_account",
        }
        moved = self._move("payout", payout["id"], -amount, 0, at)
        payout["balance_transaction"] = moved["id"]
        self.payouts[payout["id"]] = payout
        self.paid_out[payout["id"]] = [moved["id"], *(each["id"] for each in wanted)]
        self.record("payout.created", payout, at)
        return payout

    def arrive(self, payout: Object, at: int) -> None:
        payout |= {"status": "paid", "trace_id": {"status": "supported", "value": f"TRACE{payout['created']}"}}
        self.record("payout.paid", payout, at)

    def fail_payout(self, payout: Object, at: int) -> None:
        """The bank sends it back; its money is paid out anew with the next one."""
        moved = self._move("payout_reversal", payout["id"], payout["amount"], 0, at)
        payout |= {"status": "failed", "failure_balance_transaction": moved["id"], "failure_code": "account_closed"}
        self.paid_out[payout["id"]] = [moved["id"]]
        self.record("payout.failed", payout, at)

    def _of_dispute(self, dispute: Object, category: str, amount: int, fee: int, at: int) -> None:
        dispute["balance_transactions"].append(self._move(category, dispute["id"], amount, fee, at))

    def _move(self, category: str, source: str | None, amount: int, fee: int, at: int) -> Object:
        movement = {
            **self._base("balance_transaction", "txn", at),
            "amount": amount,
            "available_on": at + AVAILABLE_AFTER,
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [{"amount": fee, "currency": "usd", "type": "stripe_fee"}] if fee else [],
            "net": amount - fee,
            "reporting_category": category,
            "source": source,
            "status": "available",
            "type": _TYPES.get(category, category),
        }
        del movement["livemode"]
        self.movements[movement["id"]] = movement
        return movement

    def _base(self, kind: str, prefix: str, at: int) -> Object:
        return {"id": self._token(prefix), "object": kind, "created": at, "currency": "usd", "livemode": False}

    def _token(self, prefix: str) -> str:
        self.numbers += 1
        letters = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
        chance = random.Random(f"{self.seed}:money:{self.numbers}")  # noqa: S311
        return f"{prefix}_{''.join(chance.choices(letters, k=24))}"


_TYPES = {
    "dispute": "adjustment",
    "dispute_reversal": "adjustment",
    "fee": "stripe_fee",
    "payout_reversal": "payout_failure",
}
