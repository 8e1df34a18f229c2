"""A small local server that speaks Stripe's REST API, for the demo: Acme's account with a year of invoices and payments.

What is spoken (https://docs.stripe.com/api): bearer or basic authentication with the key; lists of invoices, credit notes,
customers, charges, refunds, disputes, payouts, balance transactions, invoice payments, events and lines, newest first, with
`limit`, `starting_after`, `created[…]` and the filters of each; single objects; `expand` of what belongs to them; finalize, pay, void, mark_uncollectible and delete of invoices, each with its event; Stripe's error objects.
"""

from __future__ import annotations

import base64
import hmac
import operator
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from typing import Any, NoReturn

from aiohttp import web

from gateway.demo.servers.stripe_company import Object, StripeCompany, make_company

STRIPE: web.AppKey[StripeCompany] = web.AppKey("stripe", StripeCompany)
"""The server's state. Tests change it while it runs."""

LINES_IN_OBJECT = 10
"""Stripe puts the first lines into a document; the rest come from its lines list."""

_KEY: web.AppKey[str] = web.AppKey("stripe_key", str)
_COMPARISONS = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
_ACTIONS: Mapping[str, tuple[tuple[str, ...], Callable[[StripeCompany, Object, int], None]]] = {
    "finalize": (("draft",), StripeCompany.finalize),
    "pay": (("open", "uncollectible"), StripeCompany.pay),
    "void": (("open", "uncollectible"), StripeCompany.void),
    "mark_uncollectible": (("open",), StripeCompany.mark_uncollectible),
}

_MONEY: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "charges": (("customer", "payment_intent"), ("customer", "balance_transaction")),
    "refunds": (("charge", "payment_intent"), ("charge.customer", "balance_transaction")),
    "disputes": (("charge", "payment_intent"), ("charge.customer",)),
    "payouts": (("status",), ("balance_transaction",)),
    "balance_transactions": (("type", "source"), ()),
}
"""Collection -> what its list can be filtered by, and what of its objects can be asked for in full."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def stripe_app(seed: int, today: date, api_key: str) -> web.Application:
    """The server: the same account for one seed and one day. Every request needs `api_key`."""
    app = web.Application(middlewares=[_authenticated])
    app[STRIPE] = make_company(seed, today)
    app[_KEY] = api_key
    app.router.add_get("/v1/invoices", _list_invoices)
    app.router.add_get("/v1/invoices/{id}", _get_invoice)
    app.router.add_delete("/v1/invoices/{id}", _delete_invoice)
    app.router.add_get("/v1/invoices/{id}/lines", _list_invoice_lines)
    app.router.add_post("/v1/invoices/{id}/{action}", _change_invoice)
    app.router.add_get("/v1/credit_notes", _list_credit_notes)
    app.router.add_get("/v1/credit_notes/{id}", _get_credit_note)
    app.router.add_get("/v1/credit_notes/{id}/lines", _list_credit_note_lines)
    app.router.add_get("/v1/customers", _list_customers)
    app.router.add_get("/v1/customers/{id}", _get_customer)
    for collection in _MONEY:
        app.router.add_get(f"/v1/{collection}", _list_money(collection))
        app.router.add_get(f"/v1/{collection}/{{id}}", _get_money(collection))
    app.router.add_get("/v1/invoice_payments", _list_invoice_payments)
    app.router.add_get("/v1/events", _list_events)
    app.router.add_get("/v1/events/{id}", _get_event)
    return app


class _StripeError(Exception):
    """Becomes Stripe's error object: https://docs.stripe.com/api/errors."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status = status
        kind = {"type": "invalid_request_error", "message": message}
        self.body = {"error": kind | ({"code": code} if code else {})}


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        given = _given_key(request.headers.get("Authorization", ""))
        if not hmac.compare_digest(given.encode(), request.app[_KEY].encode()):
            raise _StripeError(401, "Invalid API Key provided.")
        return await handler(request)
    except _StripeError as error:
        return web.json_response(error.body, status=error.status)
    except web.HTTPNotFound:
        return web.json_response(_StripeError(404, "Unrecognized request URL.").body, status=404)


def _given_key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return value if scheme.lower() == "bearer" else ""


async def _list_invoices(request: web.Request) -> web.Response:
    invoices = request.app[STRIPE].invoices.values()
    newest_first = sorted(invoices, key=lambda invoice: (invoice["created"], invoice["id"]), reverse=True)
    return _page(request, newest_first, ("status", "customer"), _shown_invoice, expandable=("data.payments",))


async def _list_credit_notes(request: web.Request) -> web.Response:
    notes = list(request.app[STRIPE].credit_notes.values())[::-1]
    return _page(request, notes, ("invoice", "customer"), _shown, expandable=("data.customer",))


async def _list_customers(request: web.Request) -> web.Response:
    return _page(request, list(request.app[STRIPE].customers.values())[::-1], ("email",))


async def _list_events(request: web.Request) -> web.Response:
    events = request.app[STRIPE].events[::-1]
    types = request.query.getall("types[]", [])
    if len(types) > 20:
        raise _StripeError(400, "types: at most 20.")
    wanted = [event for event in events if not types or event["type"] in types]
    return _page(request, wanted, ("type",), also=("types[]",))


async def _list_invoice_lines(request: web.Request) -> web.Response:
    return _page(request, _find(request, request.app[STRIPE].invoices)["lines"]["data"], ())


async def _list_credit_note_lines(request: web.Request) -> web.Response:
    return _page(request, _find(request, request.app[STRIPE].credit_notes)["lines"]["data"], ())


async def _get_invoice(request: web.Request) -> web.Response:
    return web.json_response(_shown_invoice(request, _find(request, request.app[STRIPE].invoices)))


async def _get_credit_note(request: web.Request) -> web.Response:
    return web.json_response(_shown(request, _find(request, request.app[STRIPE].credit_notes)))


async def _get_customer(request: web.Request) -> web.Response:
    return web.json_response(_find(request, request.app[STRIPE].customers))


async def _get_event(request: web.Request) -> web.Response:
    return web.json_response(_find(request, {event["id"]: event for event in request.app[STRIPE].events}))


def _list_money(collection: str) -> Handler:
    async def list_money(request: web.Request) -> web.Response:
        newest_first = _newest_first(_objects(request, collection))
        if "payout" in request.query:
            paid_out = request.app[STRIPE].money.paid_out.get(request.query["payout"], [])
            newest_first = [each for each in newest_first if each["id"] in paid_out]
        filters, expandable = _MONEY[collection]
        return _page(
            request,
            newest_first,
            filters,
            _expanded,
            also=("payout",),
            expandable=tuple(f"data.{path}" for path in expandable),
        )

    return list_money


def _get_money(collection: str) -> Handler:
    async def get_money(request: web.Request) -> web.Response:
        return web.json_response(_expanded(request, _find(request, _objects(request, collection))))

    return get_money


async def _list_invoice_payments(request: web.Request) -> web.Response:
    intent = request.query.get("payment[payment_intent]")
    payments = _newest_first(request.app[STRIPE].money.invoice_payments)
    wanted = [each for each in payments if intent in (None, each["payment"]["payment_intent"])]
    return _page(request, wanted, ("invoice",), also=("payment[type]", "payment[payment_intent]"))


def _objects(request: web.Request, collection: str) -> Mapping[str, Object]:
    name = "movements" if collection == "balance_transactions" else collection
    objects: Mapping[str, Object] = getattr(request.app[STRIPE].money, name)
    return objects


def _newest_first(objects: Mapping[str, Object]) -> list[Object]:
    return sorted(objects.values(), key=lambda each: (each["created"], each["id"]), reverse=True)


def _expanded(request: web.Request, subject: Object) -> Object:
    """An object with what was asked for in full within it: paths of ids, of at most two steps."""
    for path in request.query.getall("expand[]", []):
        first, _, second = path.removeprefix("data.").partition(".")
        company = request.app[STRIPE]
        homes = {
            "customer": company.customers,
            "charge": company.money.charges,
            "balance_transaction": company.money.movements,
        }
        inner = homes[first].get(subject[first])
        if inner is not None and second:
            inner = {**inner, second: homes[second].get(inner[second])}
        subject = {**subject, first: inner}
    return subject


async def _delete_invoice(request: web.Request) -> web.Response:
    company = request.app[STRIPE]
    invoice = _find(request, company.invoices)
    _require(invoice, ("draft",))
    company.delete(invoice, int(time.time()))
    return web.json_response({"id": invoice["id"], "object": "invoice", "deleted": True})


async def _change_invoice(request: web.Request) -> web.Response:
    company = request.app[STRIPE]
    statuses, change = _ACTIONS.get(request.match_info["action"]) or _unrecognized()
    invoice = _find(request, company.invoices)
    _require(invoice, statuses)
    change(company, invoice, int(time.time()))
    return web.json_response(_shown(request, invoice))


def _unrecognized() -> NoReturn:
    raise _StripeError(404, "Unrecognized request URL.")


def _require(invoice: Object, statuses: Iterable[str]) -> None:
    if invoice["status"] not in statuses:
        raise _StripeError(400, f"The invoice is {invoice['status']}.", "invoice_not_editable")


def _find(request: web.Request, objects: Mapping[str, Object]) -> Object:
    wanted = request.match_info["id"]
    if wanted not in objects:
        raise _StripeError(404, f"No such object: '{wanted}'", "resource_missing")
    return objects[wanted]


def _shown(request: web.Request, document: Object) -> Object:
    """A document as an answer holds it: its first lines, and its customer expanded where that was asked for."""
    lines = document["lines"]
    first = {**lines, "data": lines["data"][:LINES_IN_OBJECT], "has_more": len(lines["data"]) > LINES_IN_OBJECT}
    expanded = {"customer", "data.customer"} & set(request.query.getall("expand[]", []))
    customer = request.app[STRIPE].customers[document["customer"]] if expanded else document["customer"]
    return {**document, "lines": first, "customer": customer}


def _shown_invoice(request: web.Request, invoice: Object) -> Object:
    shown = _shown(request, invoice)
    if not {"payments", "data.payments"} & set(request.query.getall("expand[]", [])):
        return shown
    payments = request.app[STRIPE].money.payments_of(invoice["id"])
    return {**shown, "payments": {"object": "list", "data": payments, "has_more": False}}


def _page(
    request: web.Request,
    objects: list[Object],
    filters: tuple[str, ...],
    shown: Callable[[web.Request, Object], Object] = lambda _request, document: document,
    *,
    also: tuple[str, ...] = (),
    expandable: tuple[str, ...] = (),
) -> web.Response:
    """One page of a list, as https://docs.stripe.com/api/pagination has it. Unknown parameters are refused, as there."""
    query = request.query
    known = {"limit", "starting_after", "expand[]", *filters, *also}
    known |= {f"created[{word}]" for word in _COMPARISONS}
    unknown = set(query) - known
    if unknown:
        raise _StripeError(400, f"Received unknown parameter: {sorted(unknown)[0]}", "parameter_unknown")
    if not set(query.getall("expand[]", [])) <= set(expandable):
        raise _StripeError(400, "This property cannot be expanded.")
    wanted = [each for each in objects if all(each[name] == query.get(name, each[name]) for name in filters)]
    for word, compare in _COMPARISONS.items():
        if f"created[{word}]" in query:
            bound = _number(query[f"created[{word}]"])
            wanted = [each for each in wanted if compare(each["created"], bound)]
    start = _start(wanted, query.get("starting_after"))
    limit = _number(query.get("limit", "10"))
    if not 1 <= limit <= 100:
        raise _StripeError(400, "limit: 1 to 100.", "parameter_invalid_integer")
    data = [shown(request, each) for each in wanted[start : start + limit]]
    answer: dict[str, Any] = {
        "object": "list",
        "url": request.path,
        "has_more": len(wanted) > start + limit,
        "data": data,
    }
    return web.json_response(answer)


def _start(objects: list[Object], after: str | None) -> int:
    if after is None:
        return 0
    position = next((index for index, each in enumerate(objects) if each["id"] == after), None)
    if position is None:
        raise _StripeError(400, f"No such object: '{after}'", "resource_missing")
    return position + 1


def _number(word: str) -> int:
    if not word.isascii() or not word.lstrip("-").isdigit() or len(word) > 15:
        raise _StripeError(400, f"Invalid integer: {word[:20]}", "parameter_invalid_integer")
    return int(word)
