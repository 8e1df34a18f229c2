"""A billing system with very many invoices, a process of its own: `python -m benchmarks.invoices 100000`. It speaks what the
Stripe connector reads of an account that has invoices and nothing else.

Invoices are those of the demo's Stripe; each is one text whose id, number and moment are filled in when it is asked for, so that
a hundred thousand of them take no memory, and little of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from gateway.demo.company import CUSTOMERS
from gateway.demo.servers.stripe_company import DAY, StripeCompany
from gateway.serving import bound_socket

KEY = "sk_test_invoices"
_DAYS = 300
_MARK_ID, _MARK_NUMBER, _MARK_MOMENT = b"in_000000000000000000000000", b"N-00000000", 1_000_000_007
_PLANS = (("Team plan", 19_900), ("Business plan", 49_900), ("Onboarding workshop", 150_000), ("API calls", 12))
_EMPTY = b'{"object":"list","has_more":false,"data":[]}'
_LISTS = {"credit_notes", "charges", "refunds", "disputes", "payouts", "balance_transactions", "events"}
_JSON = (b"content-type", b"application/json")
_AUTHORIZED = (b"authorization", f"Bearer {KEY}".encode())

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Invoices:
    """The server. Invoice number n was created n steps after the first one; they are listed newest first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._first = int(time.time()) - _DAYS * DAY
        self._texts = _texts()

    async def __call__(self, scope: Mapping[str, Any], _receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, body = 401, b'{"error": {"type": "invalid_request_error"}}'
        if _AUTHORIZED in scope["headers"]:
            status, body = self._answer(scope["path"].removeprefix("/v1/"), parse_qs(scope["query_string"].decode()))
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, collection: str, query: Mapping[str, list[str]]) -> tuple[int, bytes]:
        if collection in _LISTS:
            return 200, _EMPTY
        if collection != "invoices":
            return 404, b'{"error": {"type": "invalid_request_error", "code": "resource_missing"}}'
        behind = int(query["starting_after"][0].removeprefix("in_")) if "starting_after" in query else self._count
        oldest = int(query["created[gte]"][0]) if "created[gte]" in query else 0
        first = max(0, behind - int(query.get("limit", ["10"])[0]))
        chosen = [each for each in range(behind - 1, first - 1, -1) if self._moment(each) >= oldest]
        more = b"true" if first and len(chosen) == behind - first else b"false"
        return 200, b'{"object":"list","has_more":%s,"data":[%s]}' % (more, b",".join(map(self._text, chosen)))

    def _moment(self, number: int) -> int:
        return self._first + number * _DAYS * DAY // self._count

    def _text(self, number: int) -> bytes:
        text = self._texts[number % len(self._texts)].replace(_MARK_ID, b"in_%024d" % number)
        text = text.replace(_MARK_NUMBER, b"N-%08d" % number)
        return text.replace(b"%d" % _MARK_MOMENT, b"%d" % self._moment(number))


def _texts() -> list[bytes]:
    """Open invoices of two lines and a tax, of several customers, with marks where each differs."""
    company, found = StripeCompany(1), []
    customers = [company.add_customer(name, _MARK_MOMENT, tax_exempt=False) for name in CUSTOMERS[:10]]
    for number in range(40):
        plan, price = _PLANS[number % len(_PLANS)]
        lines = [(plan, 1 + number % 7, price), ("Priority support", 1, 35_000)]
        invoice = company.add_invoice(customers[number * 7 % 10], _MARK_MOMENT, lines, tax_permille=82)
        company.finalize(invoice, _MARK_MOMENT)
        given = invoice["id"].encode()
        text = orjson.dumps({**invoice, "number": _MARK_NUMBER.decode()})
        found.append(text.replace(given, _MARK_ID))
    return found


def main() -> None:
    listening = bound_socket("127.0.0.1", 0)
    print(f"serving http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    app = Invoices(int(sys.argv[1]))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", loop="uvloop")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
