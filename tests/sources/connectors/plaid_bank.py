"""A stateful server in the shape of Plaid's API: accounts whose transactions a test adds, changes and removes while cursors are
out. A cursor is a point of the history; while a loop of pages is under way, changes refuse the next page, as at Plaid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CLIENT, SECRET, TOKEN = "client-6512f0", "s3cr3t-of-ours", "access-production-8ab976e6"
CHECKING, CARD = "BxBXxLj1m4HMXBm9WZZmCWVbPjX16EHwv99vp", "rw8JP9q6zGHZ0Q5VqKKNUb1VyRpLqXcLlKKpj"


def account(identifier: str, current: Any, **more: Any) -> dict[str, Any]:
    balances = {"current": current, "available": current, "iso_currency_code": "USD", "unofficial_currency_code": None}
    return {
        "account_id": identifier, "mask": "0000", "name": "Plaid Checking", "official_name": "Plaid Gold Standard Checking",
        "type": "depository", "subtype": "checking", "persistent_account_id": None, "balances": balances | more.pop("balances", {}), **more,
    }  # fmt: skip


@dataclass
class Bank:
    """`history`: (id, record; None: removed), oldest first. `answers`: what to answer next instead, in order."""

    accounts: list[dict[str, Any]] = field(default_factory=lambda: [account(CHECKING, 1000)])
    history: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    page: int = 500
    status: str = "HISTORICAL_UPDATE_COMPLETE"
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[Callable[[], web.StreamResponse]] = field(default_factory=list)
    between: list[Callable[[], None]] = field(default_factory=list)
    hides_accounts: bool = False
    hanging: bool = False

    def put(self, identifier: str, amount: Any, date: str = "2026-05-04", **more: Any) -> None:
        """A transaction, new or changed. As at Plaid, a positive amount is money that leaves."""
        record = {
            "transaction_id": identifier, "account_id": CHECKING, "amount": amount, "iso_currency_code": "USD",
            "unofficial_currency_code": None, "date": date, "authorized_date": None, "name": "ACME*ORDER 77", "merchant_name": "Acme",
            "original_description": None, "pending": False, "pending_transaction_id": None, "payment_channel": "online",
            "payment_meta": {"reference_number": None, "payee": None}, "counterparties": [], "check_number": None,
            "location": {"address": "300 Post St"}, **more,
        }  # fmt: skip
        self.history.append((identifier, record))

    def remove(self, identifier: str) -> None:
        self.history.append((identifier, None))

    def refuse(self, code: str, status: int = 400, **headers: str) -> None:
        body = {
            "error_type": "ITEM_ERROR",
            "error_code": code,
            "error_message": f"no {SECRET} of {TOKEN}",
            "request_id": "r",
        }
        self.answers.append(lambda: web.json_response(body, status=status, headers=headers))

    def say(self, body: Any, status: int = 200) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(lambda: web.Response(body=text, status=status, content_type="application/json"))

    async def sync(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.asked.append((request.path, question))
        if self.hanging:
            await asyncio.sleep(3600)
        if self.answers:
            return self.answers.pop(0)()
        if (question["client_id"], question["secret"], question["access_token"]) != (CLIENT, SECRET, TOKEN):
            return web.json_response({"error_code": "INVALID_API_KEYS"}, status=400)
        if self.status == "NOT_READY":
            body = {"added": [], "modified": [], "removed": [], "next_cursor": "", "has_more": False, "accounts": []}
            return web.json_response(body | {"transactions_update_status": self.status})
        return self.answer(question.get("cursor") or "0", question["count"])

    def answer(self, cursor: str, count: int) -> web.StreamResponse:
        origin, until, offset = (
            (int(part) for part in cursor.split(".")) if "." in cursor else (int(cursor), len(self.history), 0)
        )
        if until != len(self.history):
            return web.json_response({"error_code": "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION"}, status=400)
        before, after = dict(self.history[:origin]), dict(self.history[:until])
        changed = list(dict.fromkeys(identifier for identifier, _ in self.history[origin:until]))
        changed = [each for each in changed if before.get(each) or after[each]]
        some = changed[offset : offset + min(count, self.page)]
        more = offset + len(some) < len(changed)
        body = {
            "added": [after[each] for each in some if after[each] and not before.get(each)],
            "modified": [after[each] for each in some if after[each] and before.get(each)],
            "removed": [{"transaction_id": each, "account_id": CHECKING} for each in some if not after[each]],
            "accounts": [] if self.hides_accounts else self.accounts,
            "next_cursor": f"{origin}.{until}.{offset + len(some)}" if more else str(until),
            "has_more": more,
            "transactions_update_status": self.status,
            "request_id": "45QSn",
        }
        if more and self.between:
            self.between.pop(0)()
        return web.json_response(body)

    async def held(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, await request.json()))
        return web.json_response({"accounts": self.accounts, "item": {}, "request_id": "r"})


def app_of(bank: Bank) -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/transactions/sync", bank.sync), web.post("/accounts/get", bank.held)])
    return app


@asynccontextmanager
async def serving(bank: Bank) -> AsyncIterator[str]:
    """The server's address."""
    runner = web.AppRunner(app_of(bank), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
