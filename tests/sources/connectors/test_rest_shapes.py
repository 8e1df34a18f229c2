"""What APIs differ in: where listings end, how pages and moments are asked for, what a record's own answer is like, signs and dates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.rest import RestConnector
from sources.documents import BankStatement, Invoice, Page, Problem
from sources.errors import SourceUnavailable
from tests.sources.connectors.test_rest import BILLS, NOW, Pulled, Vendor, pull, served, serving

PAGE = {"style": "page", "param": "page", "size": 100, "size_param": "limit"}
OFFSET = {"style": "offset", "param": "skip", "size": 100, "size_param": "limit"}


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, str]]:
    """Gives three records at once, whatever it is asked for."""
    made = Vendor()
    async with serving(made) as base:
        yield made, base


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Awaitable[Any]], path: str = "/v1/bills") -> AsyncIterator[str]:
    """A server with one endpoint; an int is a status."""

    async def handle(request: web.Request) -> web.StreamResponse:
        found = await answer(request)
        return web.Response(status=found) if isinstance(found, int) else web.json_response(found)

    app = web.Application()
    app.router.add_route("*", path, handle)
    async with served(app) as base:
        yield base


def record(number: int) -> dict[str, Any]:
    return {"id": number, "state": "paid", "vendor": {"name": "V"}, "money": {"total": number, "cur": "EUR"}}


# ---------------------------------------------------------------- where a listing ends


@pytest.mark.parametrize(("style", "paging"), [("page", PAGE), ("offset", OFFSET)])
@pytest.mark.parametrize("count", [1, 3, 4, 7])
async def test_a_page_shorter_than_asked_for_is_not_the_last_one(
    vendor: tuple[Vendor, str], style: str, paging: dict[str, Any], count: int
) -> None:
    """What stood behind it would count as deleted."""
    system, base = vendor
    system.style = style
    for number in range(count):
        system.bill(number)
    found = await pull(base, paging=paging)
    assert (len(found.ids), found.everything) == (count, True)


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ({"total": "count"}, "listed 3 records of 7, and then no more: check its paging"),
        ({"total": "nothing"}, "`paging.total` gives is no number of records"),
        ({"more": "nothing"}, "`paging.more` gives is neither true nor false"),
    ],
)
async def test_a_listing_that_ends_before_its_own_total_is_none(ends: dict[str, str], told: str) -> None:
    async def answer(request: web.Request) -> Any:
        page = int(request.query["page"])
        return {"data": [record(number) for number in range(3)] if page == 1 else [], "count": 7}

    async with answering(answer) as base:
        with pytest.raises(SourceUnavailable, match=told):
            await pull(base, paging={**PAGE, **ends})


async def test_a_total_ends_a_listing_without_asking_for_an_empty_page() -> None:
    asked = []

    async def answer(request: web.Request) -> Any:
        asked.append(request.query["skip"])
        return {"data": [record(number) for number in range(3)], "count": "3"}

    async with answering(answer) as base:
        found = await pull(base, paging={**OFFSET, "total": "count"})
    assert (len(found.ids), asked) == (3, ["0"])


async def test_a_cursor_s_total_is_proved() -> None:
    """A next cursor that is looked for in the wrong place would end the listing with its first page."""

    async def answer(request: web.Request) -> Any:
        return {"data": [record(1)], "count": 2, "next_cursor": "x"}

    paging = {"style": "cursor", "param": "at", "next": "nextCursor", "total": "count"}
    async with answering(answer) as base:
        with pytest.raises(SourceUnavailable, match="listed 1 records of 2"):
            await pull(base, paging=paging)


async def test_a_status_may_stand_for_an_empty_page() -> None:
    async def answer(request: web.Request) -> Any:
        return {"data": [record(1)]} if request.query["page"] == "1" and "since" not in request.query else 404

    changed = {"param": "since", "field": "updated_at"}
    async with answering(answer) as base:
        with pytest.raises(SourceUnavailable, match="status 404"):
            await pull(base, paging=PAGE)
        first = await pull(base, paging={**PAGE, "past_end": 404}, changed=changed)
        assert first.ids == {"1"}
        cursor = json.dumps({**json.loads(first.cursor or ""), "marks": {"0": NOW}})
        assert (await pull(base, cursor, paging={**PAGE, "past_end": 404}, changed=changed)).ids == set()


async def test_of_everything_a_first_page_that_is_refused_is_no_empty_listing() -> None:
    """It would delete all that is held."""

    async def answer(_request: web.Request) -> Any:
        return 404

    async with answering(answer) as base:
        with pytest.raises(SourceUnavailable, match="status 404"):
            await pull(base, paging={**PAGE, "past_end": 404})


async def test_what_a_listing_of_a_window_does_not_name_is_kept() -> None:
    asked = []

    async def answer(request: web.Request) -> Any:
        asked.append(dict(request.query))
        return {"data": [record(1)]}

    params = {"from": "{since}", "to": "{now}"}
    async with answering(answer) as base:
        changed = {"start": 30, "format": "%Y-%m-%d"}
        found = await pull(base, params=params, changed=changed, absent="kept")
    assert (found.everything, asked) == (False, [{"from": "2026-04-28", "to": "2026-05-28"}])


# ---------------------------------------------------------------- how it is asked


async def test_a_graphql_api_is_asked_by_its_variables() -> None:
    asked = []

    async def answer(request: web.Request) -> Any:
        assert request.method == "POST"
        body = await request.json()
        asked.append(body["variables"])
        after = body["variables"].get("after")
        nodes = [{"node": record(1 if after is None else 2)}]
        page = {"hasNextPage": after is None, "endCursor": "c1" if after is None else "c2"}
        return {"data": {"bills": {"edges": nodes, "pageInfo": page}}}

    query = "query($after: String, $first: Int!) { bills(after: $after, first: $first) { edges { node { id } } } }"
    async with answering(answer, "/v1/graphql") as base:
        found = await pull(
            base,
            list="/graphql",
            body={"query": query, "variables": {"after": "{next}", "first": "{size}"}},
            items="data.bills.edges[].node",
            paging={
                "style": "cursor", "size": 1, "next": "data.bills.pageInfo.hasNextPage && data.bills.pageInfo.endCursor"
            },
        )  # fmt: skip
    assert found.ids == {"1", "2"}
    assert asked == [{"first": 1}, {"first": 1, "after": "c1"}]


async def test_an_odata_api_gives_addresses_and_net_dates() -> None:
    asked = []

    async def answer(request: web.Request) -> Any:
        asked.append(request.query.get("$filter"))
        row = {
            "ID": f"{len(asked)}",
            "Date": "/Date(1773100800000)/",
            "Total": 10.5,
            "Supplier": "V",
            "Modified": "/Date(1773100800000)/",
        }
        following = f"{request.url.origin()}/v1/4/Bills?$skiptoken=x&$select=a&$select=b"
        return {"d": {"results": [row], **({"__next": following} if len(asked) == 1 else {})}}

    fields = {"external_id": "ID", "issue_date": "day(Date)", "total": "Total", "party": "{name: Supplier}"}
    more: dict[str, Any] = {
        "list": "/4/Bills", "items": "d.results", "fields": fields, "values": {},
        "params": {"$filter": "Modified ge datetime'{since}'"}, "paging": {"style": "next_url", "next": "d.__next"},
        "fixed": {"direction": "PAYABLE", "status": "OPEN", "currency": "EUR"},
        "changed": {"field": "Modified", "format": "%Y-%m-%dT%H:%M:%S"},
    }  # fmt: skip
    async with answering(answer, "/v1/4/Bills") as base:
        found = await pull(base, **more)
        await pull(base, found.cursor, NOW + 1, **more)
    assert [str(each.issue_date) for each in found.documents if isinstance(each, Invoice)] == ["2026-03-10"] * 2
    assert asked == ["Modified ge datetime'1970-01-01T00:00:00'", None, "Modified ge datetime'2026-03-09T23:55:00'"]


@pytest.mark.parametrize(
    ("at", "zone", "day"),
    [
        (1772319600000, None, "2026-02-28"),  # midnight in Berlin, in winter and in summer
        (1772319600000, "Europe/Berlin", "2026-03-01"),
        (1782856800000, "Europe/Berlin", "2026-07-01"),
        (1782856799, "Europe/Berlin", "2026-06-30"),
        (1774738800, "Europe/Berlin", "2026-03-29"),  # the clocks go forward on this day,
        (1774821599, "Europe/Berlin", "2026-03-29"),  # which has 23 hours
        (1774821600, "Europe/Berlin", "2026-03-30"),
        (1792882800, "Europe/Berlin", "2026-10-25"),  # and back on this one
        (1772319600, "America/New_York", "2026-02-28"),
        ("/Date(1782856800000+0200)/", "Europe/Berlin", "2026-07-01"),
        ("2026-06-30T22:00:00Z", "Europe/Berlin", "2026-07-01"),
        ("2026-06-30T22:00:00Z", None, "2026-06-30"),
        ("2026-06-30T23:00:00", "Asia/Tokyo", "2026-06-30"),
        ("2026-06-30", "Asia/Tokyo", "2026-06-30"),
    ],
)
async def test_a_moment_has_the_day_of_the_zone_that_is_given(at: Any, zone: str | None, day: str) -> None:
    async def answer(_: web.Request) -> Any:
        return {"data": [{**record(1), "at": at}]}

    fields = {**BILLS["fields"], "issue_date": "day(at)"}
    async with answering(answer) as base:
        more: dict[str, Any] = {"zone": zone} if zone else {}
        found = await pull(base, fields=fields, **more)
    assert [str(each.issue_date) for each in found.documents if isinstance(each, Invoice)] == [day]


async def test_a_written_moment_with_an_offset_has_the_day_of_the_zone() -> None:
    async def answer(_: web.Request) -> Any:
        return {"data": [{**record(1), "at": "30.06.2026 22:30 +0000", "due": "30.06.2026"}]}

    days = {"issue_date": "day(at, '%d.%m.%Y %H:%M %z')", "due_date": "day(due, '%d.%m.%Y')"}
    async with answering(answer) as base:
        (found,) = (await pull(base, fields={**BILLS["fields"], **days}, zone="Europe/Berlin")).documents
    assert isinstance(found, Invoice)
    assert (str(found.issue_date), str(found.due_date)) == ("2026-07-01", "2026-06-30")


@pytest.mark.parametrize("following", ["?page=2", "bills?page=2", "/v1/bills?page=2", "./bills?page=2"])
async def test_a_next_page_is_named_relative_to_the_one_before(following: str) -> None:
    async def answer(request: web.Request) -> Any:
        last = request.query.get("page") == "2"
        return {"data": [record(2 if last else 1)], "next": None if last else following}

    async with answering(answer) as base:
        assert (await pull(base, paging={"style": "next_url", "next": "next"})).ids == {"1", "2"}


async def test_parameters_that_repeat_and_headers_that_every_request_has() -> None:
    asked = []

    async def answer(request: web.Request) -> Any:
        asked.append((request.query.getall("status"), request.query["all"], request.headers["Api-Version"]))
        return {"data": []}

    async with answering(answer) as base:
        await pull(base, params={"status": ["open", "paid"], "all": True}, headers={"Api-Version": "2026-01"})
    assert asked == [(["open", "paid"], "true", "2026-01")]


async def test_a_key_in_the_query_goes_with_every_page_and_stands_in_no_message() -> None:
    keys = []

    async def answer(request: web.Request) -> Any:
        keys.append(request.query.getall("api_key"))
        if len(keys) == 3:
            return 403
        return {"data": [record(len(keys))], "next": f"/v1/bills?page={len(keys)}&api_key=old"}

    async with answering(answer) as base:
        auth = {"style": "query", "name": "api_key", "value": "secretword"}
        with pytest.raises(SourceUnavailable) as caught:
            await pull(base, None, NOW, auth, paging={"style": "next_url", "next": "next"})
    assert keys == [["secretword"]] * 3
    assert "secretword" not in str(caught.value)


# ---------------------------------------------------------------- a record's own answer


ITEM: dict[str, Any] = {"item": "/bills/{id}", "item_at": "bill"}


@pytest.mark.parametrize("refusal", [404, 410, 400])
async def test_a_record_that_goes_away_between_listing_and_item_hides_no_other(
    vendor: tuple[Vendor, str], refusal: int
) -> None:
    system, base = vendor
    for number in range(20):
        system.bill(number)
    system.lost, system.refusal = {"7"}, refusal
    found = await pull(base, **ITEM)
    assert found.ids == {str(number) for number in range(20)} - {"7"}
    assert found.unread == [("invoice", "7")]
    (problem,) = found.problems
    told = f"The invoice 7 is listed, and could not be asked for (status {refusal})."
    assert (problem.subject, problem.message) == ("invoice 7", told)


@pytest.mark.parametrize(
    ("refusal", "told"), [(404, "gives none of them"), (403, "refused our credentials"), (500, "failed")]
)
async def test_items_that_are_all_refused_are_no_lost_records(
    vendor: tuple[Vendor, str], refusal: int, told: str
) -> None:
    system, base = vendor
    for number in range(20):
        system.bill(number)
    system.lost, system.refusal = set(system.bills), refusal
    with pytest.raises(SourceUnavailable, match=told):
        await pull(base, **ITEM)


async def test_what_the_answer_calls_otherwise_is_nameless_so_that_nothing_counts_as_gone(
    vendor: tuple[Vendor, str],
) -> None:
    system, base = vendor
    system.bill(1, own={"id": "x1"})
    system.bill(2, own={"id": "x2"})
    system.lost = {"2"}
    fields = {**BILLS["fields"], "external_id": "whole.own.id"}
    found = await pull(base, item="/bills/{id}", item_at="{whole: bill, vendor: bill.vendor, money: bill.money, state: bill.state}", fields=fields)  # fmt: skip
    assert (found.ids, found.unread, found.problems[0].subject) == ({"x1"}, [("invoice", "")], "invoice 2")


async def test_what_belongs_to_a_record_is_asked_for_beside_it(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    for number in range(3):
        system.bill(number)
    fields = {**BILLS["fields"], "lines": "bought.rows[].{amount: net, description: text}"}
    found = await pull(base, parts={"bought": "/bills/{id}/rows"}, fields=fields)
    lines = {each.external_id: each.lines for each in found.documents if isinstance(each, Invoice)}
    assert {name: each[0].amount for name, each in lines.items()} == {"0": 1_050, "1": 1_150, "2": 1_250}


async def test_a_deleted_record_that_does_not_say_which_it_is_is_told(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bills["1"] = {"removed": True, "updated_at": "x"}
    found = await pull(base, deleted="removed")
    assert (found.deletions, found.unread) == ([], [("invoice", "")])
    assert "does not say which it is" in found.problems[0].message


# ---------------------------------------------------------------- values


async def transactions(rows: list[dict[str, Any]], line: str) -> Pulled:
    async def answer(_request: web.Request) -> Any:
        return {"data": rows}

    async with answering(answer) as base:
        return await pull(
            base, kind="bank_statement", fields={"external_id": "id", "transactions": f"[{line}]"}, values={},
            fixed={"account": {"external_id": "A", "currency": "EUR"}},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "line", "amount"),
    [
        ({"credit": "12.50", "debit": None}, "minus(credit, debit)", 1_250),
        ({"credit": None, "debit": 12.5}, "minus(credit, debit)", -1_250),
        ({"credit": "", "debit": "0.10"}, "minus(credit, debit)", -10),
        ({"value": 12.5, "side": "D"}, "side == 'D' && minus(value) || value", -1_250),
        ({"value": 12.5, "side": "C"}, "side == 'D' && minus(value) || value", 1_250),
        ({"net": 0.1, "fee": 0.2}, "plus(net, fee)", 30),
        ({"parts": [0.1, 0.2, "0.3"]}, "sum(parts)", 60),
        ({"value": "-12.50"}, "abs(value)", 1_250),
        ({"value": "1234567890123.45"}, "to_number(value)", 123_456_789_012_345),
    ],
)
async def test_signs_are_stated_in_many_ways(row: dict[str, Any], line: str, amount: int) -> None:
    found = await transactions([{"id": 1, **row}], f"{{external_id: id, amount: {line}}}")
    (statement,) = found.documents
    assert isinstance(statement, BankStatement)
    assert statement.transactions[0].amount == amount


async def test_neither_side_is_no_amount() -> None:
    found = await transactions([{"id": 1}], "{external_id: id, amount: minus(credit, debit)}")
    assert "transactions.0.amount is missing" in found.problems[0].message


@pytest.mark.parametrize("value", ["12,50", "n/a", True, [1], {"a": 1}, "1e5"])
async def test_what_cannot_be_worked_out_is_no_document(value: Any) -> None:
    """An amount that is silently left out would be a wrong one."""
    found = await transactions([{"id": 1, "value": value}], "{external_id: id, amount: minus(value)}")
    assert not found.documents
    assert "transactions: '[{external_id: id, amount: minus(value)}]' cannot be worked out" in found.problems[0].message
    assert found.unread == [("bank_statement", "1")]


async def test_of_payroll_no_message_says_what_is_stated() -> None:
    async def answer(_request: web.Request) -> Any:
        slip = {"id": "s1", "who": {"x": 1}, "name": "Ann Smith", "net": "4321,17"}
        return {"data": [{"id": 9, "day": "31.5.2026", "net": 4321.175, "cur": "EUR", "slips": [slip]}]}

    fields = {
        "external_id": "id", "net": "net", "currency": "cur", "pay_date": "day", "period_start": "day", "period_end": "day",
        "payslips": "slips[].{external_id: id, employee_id: who, employee_name: name, net: net}",
    }  # fmt: skip
    async with answering(answer) as base:
        found = await pull(base, kind="payroll_run", fields=fields, fixed={"source_status": "Posted"}, values={})
    (problem,) = found.problems
    assert "payslips.0.net is no amount of its currency" in problem.message
    assert "pay_date is not a date" in problem.message
    assert problem.subject == "payroll run 9"
    assert not [word for word in ("4321", "Ann", "Smith", "31.5") if word in problem.message]


async def read_again(base: str, cursor: str | None, problems: list[Problem], **more: Any) -> Page:
    documents, http = [{**BILLS, **more}], HttpOptions(waiting=False, attempts=2)
    connector = RestConnector(name="procure", base_url=f"{base}/v1", documents=documents, http=http)
    try:
        return await connector.read_again(cursor, problems)
    finally:
        await connector.close()


@pytest.mark.parametrize("bills", [1, 3, 20])
@pytest.mark.parametrize("failure", [500, 503])
async def test_a_record_that_the_api_fails_to_give_stops_no_other(
    vendor: tuple[Vendor, str], bills: int, failure: int
) -> None:
    """Also where it is the only one; it is asked for again by its own path."""
    system, base = vendor
    for number in range(bills):
        system.bill(number)
    name = str(bills // 2)
    system.lost, system.refusal = {name}, failure
    found = await pull(base, **ITEM)
    assert found.ids == system.bills.keys() - {name}
    assert found.unread == [("invoice", name)]
    (problem,) = found.problems
    assert problem.message.startswith(f"The invoice {name} is listed, and could not be asked for: Source 'procure'")
    assert (await read_again(base, found.cursor, found.problems, **ITEM)).problems == [problem]
    system.lost.clear()
    page = await read_again(base, found.cursor, found.problems, **ITEM)
    assert ([each.external_id for each in page.documents], page.problems) == ([name], [])


async def test_an_api_that_gives_no_record_and_no_listing_is_down(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bill(1)
    system.lost, system.refusal = {"1"}, 500

    def breaks() -> None:
        system.broken = (500, b"{}")

    system.between_pages = breaks
    with pytest.raises(SourceUnavailable, match="failed"):
        await pull(base, **ITEM)


async def test_what_was_declared_otherwise_is_not_asked_for_again(vendor: tuple[Vendor, str]) -> None:
    """Then everything is read anew; until then it stays a problem."""
    system, base = vendor
    system.bill(1, money={"total": "much", "cur": "EUR"})
    found = await pull(base, **ITEM)
    page = await read_again(base, found.cursor, found.problems, **ITEM, deleted="gone")
    assert (list(page.documents), page.problems) == ([], found.problems)


async def test_a_record_without_a_path_of_its_own_comes_with_the_next_reading_of_everything(
    vendor: tuple[Vendor, str],
) -> None:
    system, base = vendor
    system.bill(1, money={"total": "much", "cur": "EUR"})
    (problem,) = (await pull(base)).problems
    assert problem.again is None


LINES: dict[str, Any] = {
    "fields": {**BILLS["fields"], "lines": "bought[].{amount: net, description: text}"},
    "parts": {"bought": {"list": "/bills/{id}/rows", "items": "rows"}},
}


@pytest.mark.parametrize("size", [1, 2, 5, 7])
async def test_a_list_that_belongs_to_a_record_has_pages(vendor: tuple[Vendor, str], size: int) -> None:
    """Rows that are alike, too, and a page of one."""
    system, base = vendor
    system.rows_at_once = size
    for number in range(3):
        system.bill(number, rows=[{"net": 3.5, "text": "Paper"}] * 5)
    parts = {"bought": {**LINES["parts"]["bought"], "paging": {"style": "page", "param": "page", "total": "count"}}}
    found = await pull(base, **{**LINES, "parts": parts})
    assert [len(each.lines) for each in found.documents if isinstance(each, Invoice)] == [5, 5, 5]


async def test_a_list_of_one_record_that_is_none_costs_that_record(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    for number in range(3):
        system.bill(number)
    system.bills["1"]["rows"] = "none"
    found = await pull(base, **LINES)
    assert (found.ids, [each.subject for each in found.problems]) == ({"0", "2"}, ["invoice 1"])


async def test_the_apis_own_word_of_a_status_is_kept(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bill(1)
    system.bill(2, state="paid")
    found = {each.external_id: each for each in (await pull(base)).documents if isinstance(each, Invoice)}
    assert [(each.status, each.source_status) for each in found.values()] == [("OPEN", "approved"), ("PAID", "paid")]
    stated = {**BILLS, "fields": {**BILLS["fields"], "source_status": "vendor.name"}}
    (bill, _) = (await pull(base, **stated)).documents
    assert isinstance(bill, Invoice)
    assert bill.source_status == "Initech"
