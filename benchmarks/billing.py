"""A billing system on this machine, a process of its own: `python -m benchmarks.billing`. It speaks what the Stripe
connector reads, and beside it `customers?ids=`, which gives several customers at once, as a list in the order asked.

Objects are those of the demo's Stripe, one invoice a day, so that its order is the same by creation and by issue. Answers are
made of texts that were written beforehand: what is measured is who asks. `/calls` tells how many it gave, `/delay?seconds=`
sets how long each is kept back.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from gateway.demo.company import CUSTOMERS
from gateway.demo.servers.stripe_company import DAY, Object, StripeCompany
from gateway.serving import bound_socket
from sources.connectors.stripe_cursor import PAYMENTS

KEY = "sk_test_benchmark"
INVOICES = 500
CUSTOMER_COUNT = 13
_PLANS = (("Team plan", 19_900), ("Business plan", 49_900), ("Onboarding workshop", 150_000), ("API calls", 12))
_JSON = [(b"content-type", b"application/json")]
_AUTHORIZED = (b"authorization", f"Bearer {KEY}".encode())

Query = Mapping[str, list[str]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Billing:
    """The server."""

    def __init__(self) -> None:
        self._delay = 0.0
        self._calls = 0
        self._company = company = StripeCompany(1)
        now = int(time.time())
        customers = [
            company.add_customer(name, now - 600 * DAY, tax_exempt=False) for name in CUSTOMERS[:CUSTOMER_COUNT]
        ]
        for number in range(INVOICES):
            plan, price = _PLANS[number % len(_PLANS)]
            lines = [(plan, 1 + number % 7, price), ("Priority support", 1, 35_000)]
            created = now - (INVOICES - number) * DAY
            invoice = company.add_invoice(customers[number * 7 % len(customers)], created, lines, tax_permille=82)
            company.finalize(invoice, created)
        company.events.clear()
        self._texts = {each["id"]: orjson.dumps(each) for each in (*customers, *company.invoices.values())}
        self._invoices = _Listing(company.invoices.values(), self._texts)

    async def __call__(self, scope: Mapping[str, Any], _receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        status, body = 401, b'{"error": {"type": "invalid_request_error"}}'
        query = parse_qs(scope["query_string"].decode())
        if path in ("/calls", "/delay"):
            self._delay = float(query.get("seconds", [self._delay])[0])
            status, body = 200, b"%d" % self._calls
        elif _AUTHORIZED in scope["headers"]:
            self._calls += 1
            if self._delay:
                await asyncio.sleep(self._delay)
            status, body = self._answer(method, path.removeprefix("/v1/"), query)
        headers = [*_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str, query: Query) -> tuple[int, bytes]:
        collection, _, below = path.partition("/")
        if method == "POST" and collection == "invoices" and below.endswith("/pay"):
            return self._pay(below.removesuffix("/pay"))
        if collection == "invoices" and below in self._texts:
            return 200, self._texts[below]
        if below or collection not in ("invoices", "customers", "events", "credit_notes", *PAYMENTS):
            return 404, b'{"error": {"type": "invalid_request_error", "code": "resource_missing"}}'
        if collection == "invoices":
            return 200, self._invoices.page(query)
        if collection == "events":
            return 200, _Listing(self._company.events).page(query)
        if collection == "customers" and "ids" in query:
            found = [self._texts[one] for some in query["ids"] for one in some.split(",")]
            return 200, b"[%s]" % b",".join(found)
        return 200, _list((), more=False)

    def _pay(self, invoice_id: str) -> tuple[int, bytes]:
        invoice = self._company.invoices[invoice_id]
        self._company.pay(invoice, int(time.time()))
        self._texts[invoice_id] = orjson.dumps(invoice)
        return 200, self._texts[invoice_id]


class _Listing:
    """Objects in order of creation, given newest first. `texts`: as they are written, by id; absent: written now."""

    def __init__(self, objects: Iterable[Object], texts: Mapping[str, bytes] | None = None) -> None:
        self._objects = list(objects)
        self._created = [each["created"] for each in self._objects]
        self._texts = texts

    def page(self, query: Query) -> bytes:
        """Understands `limit`, `starting_after` and `created[gte]`."""
        oldest = bisect_left(self._created, int(query["created[gte]"][0])) if "created[gte]" in query else 0
        behind = len(self._objects)
        if "starting_after" in query:
            behind = next(at for at, each in enumerate(self._objects) if each["id"] == query["starting_after"][0])
        first = max(oldest, behind - int(query.get("limit", ["10"])[0]))
        chosen = self._objects[first:behind][::-1]
        texts = self._texts
        return _list([orjson.dumps(each) if texts is None else texts[each["id"]] for each in chosen], first > oldest)


def _list(texts: Iterable[bytes], more: bool) -> bytes:
    return b'{"object":"list","has_more":%s,"data":[%s]}' % (b"true" if more else b"false", b",".join(texts))


def main() -> None:
    listening = bound_socket("127.0.0.1", 0)
    print(f"serving http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Billing(), log_level="warning", access_log=False, lifespan="off", loop="uvloop")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
