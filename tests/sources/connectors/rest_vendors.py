"""Servers on loopback in the shapes of third parties' APIs, written from their public documentation: what docs/rest-apis.md is for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Any]


@dataclass
class Vendor:
    """`records`: what there is, in the vendor's words, by id. `asked`: query strings and bodies of listings."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_route("*", "/{path:.*}", self.handle)
        return made

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/x-www-form-urlencoded":
            return await self.token(request)
        if not self.knows(request):
            return web.json_response({"message": "unauthorized"}, status=401)
        body = await request.text()
        self.asked.append(request.query_string + body)
        return await self.answer(request, json.loads(body) if body else None)

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        assert user(request) in (("ledgergraph", "s3cret"), ("id", "s3cret"))
        return web.json_response({"access_token": "t0ken", "token_type": "bearer", "expires_in": 3600})

    def knows(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == "Bearer t0ken"

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        raise NotImplementedError

    def sorted(self, since: str = "", changed: str = "") -> list[dict[str, Any]]:
        found = sorted(self.records.values(), key=lambda record: str(record.get("Id", record.get("id"))))
        return [record for record in found if not changed or str(record[changed]) >= since]


class QuickBooks(Vendor):
    """https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/data-queries"""

    MOST = 2
    """Of an entity there are fewer at once than the query may ask for."""

    def bill(self, number: int, total: float, balance: float, at: str) -> None:
        self.records[str(number)] = {
            "Id": str(number), "DocNumber": f"B{number}", "TotalAmt": total, "Balance": balance, "TxnDate": "2026-03-10",
            "VendorRef": {"value": "46", "name": "Norton Lumber"}, "CurrencyRef": {"value": "USD", "name": "US Dollar"},
            "Line": [{"Id": "1", "Amount": total, "DetailType": "AccountBasedExpenseLineDetail",
                      "AccountBasedExpenseLineDetail": {"AccountRef": {"value": "72", "name": "Office"}}},
                     {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}],
            "MetaData": {"LastUpdatedTime": at},
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        query = re.fullmatch(
            r"select \* from Bill where MetaData.LastUpdatedTime >= '([^']+)' orderby Id startposition (\d+) maxresults (\d+)",
            request.query["query"],
        )
        assert query, request.query["query"]
        since, first, size = datetime.fromisoformat(query[1]), int(query[2]), int(query[3])
        assert 1 <= size <= 1000
        found = [r for r in self.sorted() if datetime.fromisoformat(r["MetaData"]["LastUpdatedTime"]) >= since]
        page = found[first - 1 : first - 1 + min(size, self.MOST)]
        answer = {"Bill": page, "startPosition": first, "maxResults": len(page)} if page else {}
        return web.json_response({"QueryResponse": answer, "time": "2026-05-01T00:00:00.000-07:00"})


class FreeAgent(Vendor):
    """https://dev.freeagent.com/docs/bills and /docs/introduction"""

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "l0ng")
        return web.json_response({"access_token": "t0ken", "token_type": "bearer", "expires_in": 604800})

    def bill(self, number: int, total: str, status: str, at: str) -> None:
        url = f"https://api.freeagent.com/v2/bills/{number}"
        self.records[str(number)] = {
            "url": url, "id": number, "contact": "https://api.freeagent.com/v2/contacts/27", "contact_name": "Initech",
            "reference": f"REF{number}", "dated_on": "2026-03-10", "due_on": "2026-04-09", "currency": "GBP", "total_value": total,
            "sales_tax_value": "0.0", "due_value": "0.0" if status == "Paid" else total, "status": status, "updated_at": at,
            "bill_items": [{"description": "Paper", "total_value_ex_tax": total, "category": "https://api.freeagent.com/v2/categories/285"}],
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        assert request.headers["User-Agent"]
        number, size = int(request.query.get("page", 1)), min(int(request.query.get("per_page", 25)), 3)
        found = self.sorted(request.query.get("updated_since", ""), "updated_at")
        headers = {}
        if len(found) > number * size:
            following = request.url.update_query(page=number + 1)
            headers["Link"] = f'<{request.url}>; rel="first", <{following}>; rel="next"'
        return web.json_response({"bills": found[(number - 1) * size : number * size]}, headers=headers)


class Chargebee(Vendor):
    """https://apidocs.chargebee.com/docs/api/invoices/list-invoices"""

    def knows(self, request: web.Request) -> bool:
        return user(request) == ("live_key", "")

    def invoice(self, identifier: str, cents: int, at: int, **more: Any) -> None:
        self.records[identifier] = {
            "id": identifier, "customer_id": "c1", "status": "paid", "currency_code": "USD", "total": cents, "tax": 0,
            "amount_due": 0, "date": 1_773_100_800, "updated_at": at, "deleted": False,
            "billing_address": {"first_name": "Ann", "last_name": "Smith"},
            "line_items": [{"amount": cents, "description": "Plan", "tax_amount": 0, "entity_id": "plan", "date_from": 1_773_100_800,
                            "date_to": 1_775_779_200}], **more,
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        after = int(request.query.get("updated_at[after]", 0))
        found = [r for r in self.sorted() if r["updated_at"] > after]
        offset = json.loads(request.query.get("offset", "[0]"))[0]
        answer: dict[str, Any] = {"list": [{"invoice": each} for each in found[offset : offset + 2]]}
        if offset + 2 < len(found):
            answer["next_offset"] = json.dumps([offset + 2])
        return web.json_response(answer)


class NetSuite(Vendor):
    """https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/section_157909186990.html"""

    def bill(self, number: int, total: str, status: str, changed: str) -> None:
        self.records[str(number)] = {
            "links": [], "id": str(number), "tranid": f"VB{number}", "status": f"Bill : {status}", "vendor": "Initech", "entity": "7",
            "currency": "USD", "total": total, "trandate": "2026-03-10", "duedate": "2026-04-09", "changed": changed,
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        assert (request.method, request.headers["Prefer"]) == ("POST", "transient")
        since = re.search(r"TO_DATE\('(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)', 'YYYY", body["q"])
        assert since, body
        limit, offset = int(request.query["limit"]), int(request.query["offset"])
        found, size = self.sorted(since[1], "changed"), min(limit, 2)
        page = found[offset : offset + size]
        more = offset + size < len(found)
        answer = {
            "links": [],
            "count": len(page),
            "hasMore": more,
            "items": page,
            "offset": offset,
            "totalResults": len(found),
        }
        return web.json_response(answer)


class Coupa(Vendor):
    """https://compass.coupa.com: Arguments, Querying Options, Invoices API"""

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert (form["client_id"], form["client_secret"], form["scope"]) == ("id", "s3cret", "core.invoice.read")
        assert "Authorization" not in request.headers
        return web.json_response({"access_token": "t0ken", "expires_in": 86399})

    def invoice(self, number: int, total: str, status: str, at: str, **more: Any) -> None:
        self.records[f"{number:03}"] = {
            "id": number, "invoice-number": f"I-{number}", "document-type": "Invoice", "status": status, "paid": False,
            "supplier": {"id": 9, "name": "Initech"}, "currency": {"id": 1, "code": "USD"}, "gross-total": total, "tax-amount": "1.00",
            "invoice-date": "2026-03-10T00:00:00-07:00", "updated-at": at,
            "invoice-lines": [{"total": total, "description": "Paper", "account": {"code": "4711-10"}}], **more,
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        assert request.headers["Accept"] == "application/json"
        since = request.query.get("updated_at[gt_or_eq]", "1970-01-01T00:00:00Z")
        found = [r for _, r in sorted(self.records.items())]
        found = [r for r in found if datetime.fromisoformat(r["updated-at"]) >= datetime.fromisoformat(since)]
        offset, size = int(request.query.get("offset", 0)), min(int(request.query["limit"]), 50)
        return web.json_response(found[offset : offset + size])


class Mercury(Vendor):
    """https://docs.mercury.com/reference/listaccounttransactions"""

    def transaction(self, identifier: str, amount: float, status: str, posted: str | None) -> None:
        self.records[identifier] = {
            "id": identifier, "amount": amount, "status": status, "postedAt": posted, "createdAt": "2026-03-09T10:00:00Z",
            "bankDescription": None, "note": "Rent", "counterpartyName": "Landlord", "externalMemo": "March", "kind": "externalTransfer",
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        assert request.query["start"] == "2026-01-01"
        offset, size = int(request.query.get("offset", 0)), min(int(request.query["limit"]), 2)
        found = self.sorted()
        return web.json_response({"total": len(found), "transactions": found[offset : offset + size]})


class Wise(Vendor):
    """https://docs.wise.com/api-reference/balance-statement/balancestatementget"""

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        start, end = (datetime.fromisoformat(request.query[f"interval{name}"]) for name in ("Start", "End"))
        assert (end - start).days <= 469
        found = [r for r in self.records.values() if start <= datetime.fromisoformat(r["date"]) <= end]
        return web.json_response({"transactions": found, "endOfStatementBalance": {"value": 5.0, "currency": "EUR"}})


class KeyPay(Vendor):
    """https://api.keypay.com/australia/resources/aupayrundetailsmodel"""

    def knows(self, request: web.Request) -> bool:
        return user(request) == ("key", "")

    def run(self, number: int, *, finalised: bool = True, **total: Any) -> None:
        figures = {
            "grossEarnings": 5000.0, "netEarnings": 3800.5, "paygWithholdingAmount": 1100.0, "helpAmount": 99.5, "preTaxDeductionAmount": 0.0,
            "postTaxDeductionAmount": 0.0, "employeeExpensesTotal": 0.0, "superContribution": 575.0, "employerContribution": 0.0, **total,
        }  # fmt: skip
        run = {"id": number, "payPeriodStarting": "2026-03-01T00:00:00", "payPeriodEnding": "2026-03-14T00:00:00",
               "datePaid": "2026-03-15T00:00:00", "isFinalised": finalised}  # fmt: skip
        slip = {"id": number * 10, "employeeId": 7, "employeeName": "Ann Smith", **figures}
        self.records[f"{number:03}"] = {"payRun": run, "grandTotal": figures, "payRunTotals": [slip]}

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        one = re.search(r"/payrun/(\d+)/details$", request.path)
        if one:
            found = self.records.get(f"{int(one[1]):03}")
            return web.json_response(found, status=200 if found else 404)
        skip, top = int(request.query.get("$skip", 0)), min(int(request.query.get("$top", 100)), 2)
        return web.json_response([r["payRun"] for _, r in sorted(self.records.items())][skip : skip + top])


class Odoo(Vendor):
    """https://www.odoo.com/documentation/19.0/developer/reference/external_api.html"""

    def bill(self, number: int, total: float, at: str, **more: Any) -> None:
        self.records[str(number)] = {
            "id": number, "name": f"BILL/{number}", "ref": False, "move_type": "in_invoice", "state": "posted", "payment_state": "not_paid",
            "partner_id": [12, "Initech"], "currency_id": [1, "EUR"], "amount_total": total, "amount_tax": 0.0, "amount_residual": total,
            "invoice_date": "2026-03-10", "invoice_date_due": False, "write_date": at, **more,
        }  # fmt: skip

    async def answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        assert (request.method, request.headers["X-Odoo-Database"], body["order"]) == ("POST", "acme", "id")
        assert (type(body["limit"]), type(body["offset"])) == (int, int)
        field_name, sign, since = body["domain"][1]
        assert (field_name, sign) == ("write_date", ">=")
        found = self.sorted(since, "write_date")
        return web.json_response(found[body["offset"] : body["offset"] + min(body["limit"], 2)])


def user(request: web.Request) -> tuple[str, str]:
    """Name and password of HTTP Basic."""
    name, _, password = (
        base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
    )
    return name, password


SECRETS: Mapping[str, str] = {
    "TOKEN_BROKER_SECRET": "s3cret", "FREEAGENT_ID": "id", "FREEAGENT_SECRET": "s3cret", "FREEAGENT_REFRESH_TOKEN": "l0ng",
    "CHARGEBEE_KEY": "live_key", "COUPA_ID": "id", "COUPA_SECRET": "s3cret", "MERCURY_TOKEN": "t0ken", "WISE_TOKEN": "t0ken",
    "KEYPAY_KEY": "key", "ODOO_KEY": "t0ken",
}  # fmt: skip
