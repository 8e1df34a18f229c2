"""What happens at the sample company's source systems while the demo runs: sales, payments, refunds, payouts, suppliers' invoices,
bank statements and pay runs, one act after the other.

Which act follows, and what it does, depend on the seed and its number alone. The moments of all acts are kept in a file of the
data directory, so that the systems, which live in this process, are the same again after another start.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gateway.demo.company import CUSTOMERS, SUPPLIERS
from gateway.demo.servers.bank_files import GBP_ACCOUNT, SUPPLIERS_ACCOUNT, USD_ACCOUNT, closed_at, write_statement
from gateway.demo.servers.invoice_files import Bill, write_bill
from gateway.demo.servers.stripe_company import Object, StripeCompany, some_lines
from gateway.demo.servers.xero_company import Company, add_run
from sources.errors import ConfigurationError

ACTS_FILE = "acts.log"
MOST_ACTS = 5_000
"""Then the systems rest: each start repeats all acts, and must stay quick."""

_OPENING = [
    "sell",
    "bill",
    "bill",
    "bill",
    "collect",
    "contribute",
    "pay_bills",
    "refund",
    "pay_out",
    "bank",
    "pay_wages",
]
_LATER: Mapping[str, int] = {
    "sell": 10,
    "collect": 7,
    "bank": 3,
    "bill": 3,
    "pay_out": 2,
    "pay_bills": 1,
    "refund": 1,
    "void": 1,
    "pay_wages": 1,
}
_CONTRIBUTION = 2_500
_DAYS_TO_PAY = 14


class Activity:
    """Acts upon the systems. `since`: the first day that is not history, from which on documents become entries."""

    def __init__(
        self, data_dir: Path, folder: Path, inbox: Path, seed: int, since: date, stripe: StripeCompany, payroll: Company
    ) -> None:
        self._file, self._folder, self._inbox, self._seed = data_dir / ACTS_FILE, folder, inbox, seed
        self._since = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp())
        self._stripe, self._payroll = stripe, payroll
        accounts = (USD_ACCOUNT, GBP_ACCOUNT, SUPPLIERS_ACCOUNT)
        self._held = {account: closed_at(seed, account, since) for account in accounts}
        self._bills: list[Bill] = []
        self._coming: dict[str, list[tuple[int, str, str]]] = {account: [] for account in self._held}
        self._acts: Mapping[str, Callable[[random.Random, int], None]] = {
            "sell": self._sell,
            "collect": self._collect,
            "contribute": self._contribute,
            "refund": self._refund,
            "void": self._void,
            "pay_out": self._pay_out,
            "bank": self._bank,
            "pay_wages": self._pay_wages,
            "bill": self._bill,
            "pay_bills": self._pay_bills,
        }
        self.done = 0

    def repeat(self) -> None:
        """Does again what was done in earlier runs. Raises ConfigurationError."""
        try:
            moments = [int(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []
        except ValueError:
            raise ConfigurationError(f"{self._file} is not what the demo wrote: begin anew with --fresh") from None
        for at in moments:
            self._act(at)

    def act(self, at: int) -> bool:
        """The next act, at a moment in seconds since 1970; False: the systems rest."""
        if self.done >= MOST_ACTS:
            return False
        with self._file.open("a") as file:
            file.write(f"{at}\n")
        self._act(at)
        return True

    def _act(self, at: int) -> None:
        chance = random.Random(f"{self._seed}:act:{self.done}")  # noqa: S311
        if self.done < len(_OPENING):
            name = _OPENING[self.done]
        else:
            (name,) = chance.choices(list(_LATER), list(_LATER.values()))
        self.done += 1
        self._acts[name](chance, at)

    # ---------------------------------------------------------------- at Stripe

    def _sell(self, chance: random.Random, at: int) -> None:
        customers = list(self._stripe.customers.values())
        new = f"{chance.choice(CUSTOMERS)} {chance.choice(('North', 'South', 'East', 'West'))}"
        fresh = chance.random() < 0.3 and new not in {each["name"] for each in customers}
        customer = self._stripe.add_customer(new, at, False) if fresh else chance.choice(customers)
        permille = 0 if customer["tax_exempt"] == "exempt" else 82
        invoice = self._stripe.add_invoice(customer, at, some_lines(chance), tax_permille=permille)
        self._stripe.finalize(invoice, at)

    def _collect(self, chance: random.Random, at: int) -> None:
        if opened := self._invoices("open"):
            self._stripe.pay(chance.choice(opened), at)

    def _void(self, chance: random.Random, at: int) -> None:
        if opened := [each for each in self._invoices("open") if each["created"] >= self._since]:
            self._stripe.void(chance.choice(opened), at)

    def _invoices(self, status: str) -> list[Object]:
        return [each for each in self._stripe.invoices.values() if each["status"] == status]

    def _refund(self, chance: random.Random, at: int) -> None:
        charges = [each for each in self._stripe.money.charges.values() if each["created"] >= self._since]
        if whole := [each for each in charges if not each["amount_refunded"]]:
            charge = chance.choice(whole)
            self._stripe.money.refund(charge, charge["amount"] // chance.choice((4, 10)), at)

    def _contribute(self, _chance: random.Random, at: int) -> None:
        self._stripe.money.contribute(_CONTRIBUTION, at)

    def _pay_out(self, _chance: random.Random, at: int) -> None:
        if (payout := self._stripe.money.pay_out(at)) is not None:
            self._stripe.money.arrive(payout, at)
            self._coming[USD_ACCOUNT].append((payout["amount"], "Stripe", f"STRIPE PAYOUT {payout['id']}"))

    # ---------------------------------------------------------------- at the bank and at Xero

    def _bank(self, chance: random.Random, at: int) -> None:
        supplier = chance.choice(sorted(SUPPLIERS))
        self._coming[USD_ACCOUNT].append((-chance.randrange(5_000, 90_000), supplier, "Card payment"))
        for account in self._coming:
            self._state(account, at)

    def _state(self, account: str, at: int) -> None:
        """The bank's statement of what it was told about the account since the last one."""
        if coming := self._coming[account]:
            moment = datetime.fromtimestamp(at, UTC)
            held = write_statement(self._folder, account, self.done, moment, self._held[account], coming)
            self._held[account] = held
            coming.clear()

    def _pay_wages(self, _chance: random.Random, at: int) -> None:
        run = add_run(self._payroll, self.done, datetime.fromtimestamp(at, UTC).date())
        self._coming[GBP_ACCOUNT].append((-round(run["totalPay"] * 100), "Payroll", "Wages"))

    # ---------------------------------------------------------------- suppliers

    def _bill(self, chance: random.Random, at: int) -> None:
        waiting, on = {bill.supplier for bill in self._bills}, datetime.fromtimestamp(at, UTC).date()
        supplier = chance.choice(sorted(set(SUPPLIERS) - waiting) or sorted(SUPPLIERS))
        mark = "".join(word[0] for word in supplier.split() if word[0].isalpha())
        bill = Bill(
            number=f"{mark}-{on.year}-{10_000 + self.done}",
            supplier=supplier,
            what=supplier.split()[-1],
            on=on,
            due=on + timedelta(_DAYS_TO_PAY),
            net=chance.randrange(8_000, 400_000),
        )
        write_bill(self._inbox, bill)
        self._bills.append(bill)

    def _pay_bills(self, _chance: random.Random, at: int) -> None:
        """The two oldest: one as it should be, by its number, the other without. The newest stays open."""
        texts = ("Invoice {0.number}", "{0.supplier}, your delivery")
        for bill, text in zip(self._bills[:-1][:2], texts, strict=False):
            self._coming[SUPPLIERS_ACCOUNT].append((-bill.total, bill.supplier, text.format(bill)))
            self._bills.remove(bill)
        self._state(SUPPLIERS_ACCOUNT, at)
