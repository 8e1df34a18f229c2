"""`plaid`: a server of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sources.connectors.http import HttpOptions
from sources.connectors.plaid import PlaidConnector
from sources.connectors.plaid_records import kept, parse_transaction
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject
from tests.sources.connectors.plaid_bank import CARD, CHECKING, CLIENT, SECRET, TOKEN, Bank, account, app_of

NOW = datetime(2026, 5, 6, 15, 0, tzinfo=UTC)


class Money:
    def __init__(self) -> None:
        self.bank = bank = Bank(page=5)
        bank.accounts.append(account(CARD, 410.2, type="credit"))
        for number in range(12):
            bank.put(
                f"tx-{number}", number - 4.25, date=f"2026-04-{number + 10}", account_id=(CHECKING, CARD)[number % 2]
            )
        self.app = app_of(bank)

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return PlaidConnector(
            name="bank", base_url=url, client_id=CLIENT, secret=SECRET, access_token=TOKEN, item_id="i", http=http,
            clock=NOW.timestamp,
        )  # fmt: skip

    def add(self) -> None:
        self.bank.put(f"tx-{len(self.bank.history)}", 33.3)

    def change(self) -> None:
        changed = next(record for _, record in self.bank.history if record)
        self.bank.put(changed["transaction_id"], changed["amount"] + len(self.bank.history))

    def remove(self) -> None:
        held = dict(self.bank.history)
        self.bank.remove(next(each for each in list(held)[2:] if held[each]))

    def truth(self) -> Mapping[Key, int]:
        """And for each account a statement of the day: its balance, and what is pending, which is nothing."""
        held = dict(self.bank.history)
        booked = {("bank_statement", each): -round(record["amount"] * 100) for each, record in held.items() if record}
        return booked | {("bank_statement", f"~{each} {NOW.date()}"): 0 for each in (CHECKING, CARD)}


def _dated(written: Any) -> date | None:
    record = {"transaction_id": "t", "account_id": "a", "amount": 1, "iso_currency_code": "USD", "pending": False}
    return parse_transaction(kept({**record, "date": written})).booked_on


SUBJECT = Subject(
    kind="plaid",
    system=Money,
    telling=frozenset({"transaction_id", "account_id", "pending", "date"}),
    ends={"pending": [True]},  # then it stands in another document, the statement of the day
    dated=_dated,
    moments=[("2026-01-31", date(2026, 1, 31)), ("2024-02-29", date(2024, 2, 29))],
)
"""Plaid states the institution's own calendar date."""
