"""APIs that are declared in the settings: a local server in the shapes of a third party, read without code."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.config import load
from gateway.sourceconfig import connector_for
from sources.connectors import rest_listing
from sources.connectors.http import HttpOptions
from sources.connectors.rest import RELIST_SECONDS, RestConnector
from sources.documents import Deletion, Document, Invoice, PayrollRun, Problem
from sources.errors import ConfigurationError, SourceUnavailable

NOW = 1_780_000_000.0


@dataclass
class Vendor:
    """A procurement system: bills by their id, each a record in its own words."""

    bills: dict[str, dict[str, Any]] = field(default_factory=dict)
    style: str = "none"
    size: int = 3
    asked: list[str] = field(default_factory=list)
    authorised: Callable[[Any], bool] = lambda _headers: True
    between_pages: Callable[[], Any] = lambda: None
    broken: Any = None
    lost: set[str] = field(default_factory=set)
    refusal: int = 404
    rows_at_once: int = 1_000

    def bill(self, number: int, at: str = "2026-05-01T00:00:00Z", **more: Any) -> None:
        self.bills[str(number)] = {
            "id": number, "state": "approved", "vendor": {"name": "Initech", "vat": "DE1"}, "money": {"total": 10.5 + number, "cur": "EUR"},
            "date": "2026-04-30", "updated_at": at, "rows": [{"net": 10.5 + number, "text": "Paper"}], **more,
        }  # fmt: skip

    async def list(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query_string)
        if not self.authorised(request.headers):
            return web.json_response({"error": "unauthorized"}, status=401)
        if self.broken is not None:
            status, text = self.broken if isinstance(self.broken, tuple) else (200, json.dumps(self.broken).encode())
            return web.Response(body=text, status=status, content_type="application/json")
        since = request.query.get("since", "")
        records = [bill for bill in self.bills.values() if bill["updated_at"] >= since]
        at = {
            "none": 0,
            "page": (int(request.query.get("page", 1)) - 1) * self.size,
            "offset": int(request.query.get("skip", 0)),
        }.get(self.style, int(request.query.get("at", 0)))
        some = records if self.style == "none" else records[at : at + self.size]
        more = at + self.size < len(records) and self.style != "none"
        body: dict[str, Any] = {"data": some, "next": str(at + self.size) if more else None}
        headers = {}
        if more and self.style == "link":
            headers["Link"] = f'<{request.url.origin()}/v1/bills?at={at + self.size}>; rel="next", </x>; rel="last"'
        if more and self.style == "next_url":
            body["next"] = f"/v1/bills?at={at + self.size}"
        self.between_pages()
        return web.json_response(body, headers=headers)

    async def one(self, request: web.Request) -> web.StreamResponse:
        """A bill, or what belongs to it. Of those that are `lost` there is none any more, though the listing names them."""
        number = request.match_info["id"]
        if number in self.lost or number not in self.bills:
            return web.json_response({"error": "gone"}, status=self.refusal)
        if request.path.endswith("/rows"):
            rows = self.bills[number]["rows"]
            first = (int(request.query.get("page", 1)) - 1) * self.rows_at_once
            return web.json_response({"rows": rows[first : first + self.rows_at_once], "count": len(rows)})
        return web.json_response({"bill": self.bills[number]})

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        kept = str(form.get("refresh_token", "")) + str(form.get("client_secret", ""))
        return web.json_response({"access_token": "t-" + str(form["grant_type"]) + kept, "expires_in": 600})


@asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(
        [web.get("/v1/bills", vendor.list), web.get("/v1/bills/{id}", vendor.one), web.get("/v1/bills/{id}/rows", vendor.one),
         web.post("/token", vendor.token)]
    )  # fmt: skip
    async with served(app) as base:
        yield base


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """The address of a server on a port of its own."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


BILLS: dict[str, Any] = {
    "kind": "invoice",
    "list": "/bills",
    "items": "data",
    "fields": {
        "external_id": "id", "status": "state", "party": "{name: vendor.name, tax_id: vendor.vat}", "currency": "money.cur",
        "total": "money.total", "issue_date": "date", "lines": "rows[].{amount: net, description: text}",
    },
    "fixed": {"direction": "PAYABLE"},
    "values": {"status": {"approved": "OPEN", "paid": "PAID"}},
}  # fmt: skip


@dataclass
class Pulled:
    documents: list[Document] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    cursor: str | None = None
    everything: bool = False

    @property
    def ids(self) -> set[str]:
        return {document.external_id for document in self.documents}


async def pull(
    base: str, cursor: str | None = None, now: float = NOW, auth: Any = None, headers: Any = None, **more: Any
) -> Pulled:
    connector = RestConnector(
        name="procure",
        base_url=f"{base}/v1",
        documents=[{**BILLS, **more}],
        authentication=auth,
        headers=headers,
        http=HttpOptions(waiting=False, attempts=2),
        clock=lambda: now,
    )
    pulled, complete = Pulled(), False
    try:
        async for page in connector.pull(cursor):
            assert not complete
            pulled.documents += page.documents
            pulled.deletions += page.deletions
            pulled.problems += page.problems
            pulled.unread += page.unread
            pulled.cursor, complete = page.cursor, page.complete
        assert complete
        pulled.everything = connector.lists_everything
    finally:
        await connector.close()
    return pulled


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, str]]:
    made = Vendor()
    async with serving(made) as base:
        yield made, base


async def test_a_record_becomes_a_document_by_its_declaration_alone(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bill(7)
    (bill,) = (await pull(base)).documents
    assert isinstance(bill, Invoice)
    assert (bill.external_id, bill.total, bill.currency, bill.status, bill.party.name) == (
        "7",
        1_750,
        "EUR",
        "OPEN",
        "Initech",
    )
    assert (bill.party.tax_id, str(bill.issue_date), bill.lines[0].amount) == ("DE1", "2026-04-30", 1_750)
    assert bill.raw["money"] == {"total": "17.5", "cur": "EUR"}


@pytest.mark.parametrize(
    ("style", "paging"),
    [
        ("page", {"style": "page", "param": "page", "size": 3, "size_param": "per_page"}),
        ("page", {"style": "page", "param": "page"}),
        ("offset", {"style": "offset", "param": "skip", "size": 3, "size_param": "limit"}),
        ("cursor", {"style": "cursor", "param": "at", "next": "next"}),
        ("link", {"style": "link"}),
        ("next_url", {"style": "next_url", "next": "next"}),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 3, 8])
async def test_every_way_of_paging_reads_everything(
    vendor: tuple[Vendor, str], style: str, paging: dict[str, Any], count: int
) -> None:
    system, base = vendor
    system.style = style
    for number in range(count):
        system.bill(number)
    assert (await pull(base, paging=paging)).ids == {str(number) for number in range(count)}


async def test_a_record_that_goes_away_between_pages_hides_no_other(vendor: tuple[Vendor, str]) -> None:
    """It moves the ones behind it over the edge of a page: the listing is read twice."""
    system, base = vendor
    system.style = "page"
    for number in range(7):
        system.bill(number)
    gone = iter(["0"])
    system.between_pages = lambda: system.bills.pop(next(gone, ""), None)
    found = await pull(base, paging={"style": "page", "param": "page", "size": 3, "size_param": "per_page"})
    assert found.everything
    assert found.ids >= {str(number) for number in range(1, 7)}


async def test_what_changed_is_asked_for_with_an_overlap_and_everything_once_a_day(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    changed = {"param": "since", "field": "updated_at", "overlap": 60}
    system.bill(1, "2026-05-01T00:00:00Z")
    system.bill(2, "2026-05-02T12:00:00+02:00")
    first = await pull(base, changed=changed)
    assert (first.ids, first.everything) == ({"1", "2"}, True)
    system.bill(3, "2026-05-02T11:00:00Z")
    second = await pull(base, first.cursor, NOW + 10, changed=changed)
    assert (second.ids, second.everything) == ({"2", "3"}, False)
    assert system.asked[-1] == "since=2026-05-02T09:59:00Z"
    third = await pull(base, second.cursor, NOW + RELIST_SECONDS + 1, changed=changed)
    assert (third.ids, third.everything) == ({"1", "2", "3"}, True)
    other = await pull(base, second.cursor, NOW + 20, changed=changed, params={"x": 1})
    assert other.everything  # another declaration reads everything anew


async def test_deleted_and_skipped_records(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bill(1)
    system.bill(2, removed=True)
    system.bill(3, draft=True)
    found = await pull(base, deleted="removed", skip="draft")
    assert (found.ids, [each.external_id for each in found.deletions]) == ({"1"}, ["2"])


async def test_whole_records_are_asked_for_one_by_one(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    for number in range(20):
        system.bill(number)
    assert len((await pull(base, item="/bills/{id}", item_at="bill")).documents) == 20


async def test_a_record_that_cannot_be_read_is_named_and_the_others_are_read(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.bill(1)
    system.bill(2, state="on hold", date="tomorrow")
    system.bill(3, money={"total": "1e5", "cur": "EUR"})
    system.bills["4"] = {"updated_at": "x", "id": None}
    found = await pull(base)
    assert found.ids == {"1"}
    assert {problem.subject for problem in found.problems} == {"invoice 2", "invoice 3", "invoice ?"}
    assert set(found.unread) == {("invoice", "2"), ("invoice", "3"), ("invoice", "")}
    assert "status 'on hold' is none of" in next(each.message for each in found.problems if each.subject == "invoice 2")


@pytest.mark.parametrize("broken", [[], {"data": None}, {"data": {"a": 1}}, "text", 5, None])
async def test_an_answer_without_a_list_is_no_listing(vendor: tuple[Vendor, str], broken: Any) -> None:
    system, base = vendor
    system.broken = (200, json.dumps(broken).encode())
    with pytest.raises(SourceUnavailable, match="without a list"):
        await pull(base)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [(b"{", 200, "cannot be read"), (b"<html>", 200, "cannot be read"), (b"", 503, "is not working"), (b"", 404, "refused the request"),
     (b"", 500, "failed"), (b"", 429, "allows no more requests")],
)  # fmt: skip
async def test_what_the_api_fails_with_is_told(vendor: tuple[Vendor, str], body: bytes, status: int, told: str) -> None:
    system, base = vendor
    system.broken = (status, body)
    with pytest.raises(SourceUnavailable, match=told):
        await pull(base)


async def test_a_page_that_comes_again_is_the_end_of_it(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.broken = {"data": [], "next": "again"}
    with pytest.raises(SourceUnavailable, match="same page twice"):
        await pull(base, paging={"style": "cursor", "param": "at", "next": "next"})


@pytest.mark.parametrize(
    "address", ["http://elsewhere.example/v1/bills", "/other/bills", "//x/v1/bills", "http://[", "/v1/../secret"]
)
async def test_a_next_page_elsewhere_is_not_followed(vendor: tuple[Vendor, str], address: str) -> None:
    system, base = vendor
    system.broken = {"data": [], "next": address}
    with pytest.raises(SourceUnavailable, match="another address"):
        await pull(base, paging={"style": "next_url", "next": "next"})


async def test_a_listing_without_end_is_given_up(vendor: tuple[Vendor, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_listing, "MAX_PAGES", 3)
    system, base = vendor
    system.style = "cursor"
    for number in range(50):
        system.bill(number)
    with pytest.raises(SourceUnavailable, match="more than 3 pages"):
        await pull(base, paging={"style": "cursor", "param": "at", "next": "next"})


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"style": "bearer", "token": "s3cret"}, ("Authorization", "Bearer s3cret")),
        ({"style": "header", "name": "X-Api-Key", "value": "s3cret"}, ("X-Api-Key", "s3cret")),
        ({"style": "basic", "user": "acme", "password": "pä:ss"}, ("Authorization", "Basic YWNtZTpww6Q6c3M=")),
        (
            {"style": "client_credentials", "client_id": "a", "client_secret": "b"},
            ("Authorization", "Bearer t-client_credentials"),
        ),
        (
            {"style": "client_credentials", "client_id": "a", "client_secret": "b", "credentials_in": "form"},
            ("Authorization", "Bearer t-client_credentialsb"),
        ),
        (
            {"style": "refresh_token", "client_id": "a", "client_secret": "b", "refresh_token": "r"},
            ("Authorization", "Bearer t-refresh_tokenr"),
        ),
        ({"style": "basic", "user": "acme"}, ("Authorization", "Basic YWNtZTo=")),
    ],
)
async def test_every_way_of_authenticating(
    vendor: tuple[Vendor, str], auth: dict[str, str], header: tuple[str, str]
) -> None:
    system, base = vendor
    if auth["style"] in ("client_credentials", "refresh_token"):
        auth = {**auth, "token_url": f"{base}/token"}
    system.bill(1)
    system.authorised = lambda headers: headers.get(header[0]) == header[1]
    assert (await pull(base, auth=auth)).ids == {"1"}
    system.authorised = lambda _headers: False
    with pytest.raises(SourceUnavailable) as caught:
        await pull(base, auth=auth)
    assert "refused our credentials" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "bill"}, "documents[0].kind must be one of invoice, payment"),
        ({"list": "bills"}, "documents[0].list must be a path"),
        ({"list": "/bills?x=1"}, "documents[0].list must be a path"),
        ({"fields": {"totl": "x"}}, "documents[0].fields.totl is not a setting; did you mean total?"),
        ({"fields": {"total": "a..b["}}, "documents[0].fields.total is no JMESPath"),
        ({"fields": {"total": 5}}, "documents[0].fields.total must be a text"),
        ({"paging": {"style": "scroll"}}, "documents[0].paging.style must be one of none, page"),
        ({"paging": {"style": "cursor", "param": "x"}}, "documents[0].paging.next is missing"),
        ({"paging": {"style": "page", "param": "p", "size": 0}}, "paging.size must be a number from 1"),
        ({"changed": {"param": "since"}}, "changed.field is missing"),
        ({"changed": {"param": "s", "field": "f", "overlap": -1}}, "changed.overlap must be a number"),
        ({"item": "/bills/{number}"}, "item must have {id}"),
        ({"amounts": "cents"}, "amounts must be one of decimal, minor, not 'cents'"),
        ({"colour": "red"}, "documents[0].colour is not a setting"),
        ({"values": {"status": "x"}}, "values.status must be a table"),
        ({"params": {"a": [1.5]}}, "params.a must be a text, a whole number"),
    ],
)
def test_declarations_that_cannot_work_are_refused_with_their_key(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RestConnector(name="procure", base_url="http://127.0.0.1:1", documents=[{**BILLS, **change}])
    assert told in str(caught.value)


@pytest.mark.parametrize("documents", [None, [], "x", {}, [1], 5])
def test_documents_have_to_be_tables(documents: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.procure\.documents"):
        RestConnector(name="procure", base_url="http://127.0.0.1:1", documents=documents)


@pytest.mark.parametrize("cursor", ["", "1", "{}", '{"declared": 1, "marks": 2, "listed_at": 3}', "[]", "null"])
async def test_a_cursor_that_is_not_ours_reads_everything(vendor: tuple[Vendor, str], cursor: str) -> None:
    system, base = vendor
    system.bill(1)
    found = await pull(base, cursor, changed={"param": "since", "field": "updated_at"})
    assert (found.ids, found.everything) == ({"1"}, True)


async def test_a_pull_can_be_left_at_any_page(vendor: tuple[Vendor, str]) -> None:
    system, base = vendor
    system.style = "page"
    for number in range(9):
        system.bill(number)
    connector = RestConnector(
        name="procure",
        base_url=f"{base}/v1",
        documents=[{**BILLS, "paging": {"style": "page", "param": "page", "size": 3, "size_param": "per_page"}}],
    )
    pages = connector.pull(None)
    page = await anext(pages)
    await pages.aclose()  # type: ignore[attr-defined]
    await connector.close()
    assert (page.cursor, page.complete) == (None, False)
    await asyncio.sleep(0)


async def test_the_guide_s_example_reads_an_api_as_it_says(tmp_path: Path) -> None:
    """From the guide's text alone: the settings are its example, the API is as the example declares it."""
    guide = (Path(__file__).parents[3] / "docs/connectors.md").read_text()
    (example,) = re.findall(r"```toml\n(\[\[sources\]\]\nname = \"procure\".*?)```", guide, flags=re.DOTALL)
    records = [
        {"id": n, "state": state, "number": f"B-{n}", "vendor": {"name": "Initech", "id": 9, "vat": "DE1"}, "currency": "EUR",
         "totals": {"gross": "119.00", "tax": 19}, "date": "2026-05-01", "due": None, "updated_at": "2026-05-01T10:00:00Z",
         "deleted_at": gone, "rows": [{"net": 100.00, "text": "Paper", "tax_code": "S", "account": "4711"}]}
        for n, state, gone in ((1, "approved", None), (2, "paid", None), (3, "approved", "2026-05-02"))
    ]  # fmt: skip

    async def bills(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer s3cret"
        assert (request.query["state"], request.query["limit"]) == ("approved,paid", "100")
        at = int(request.query.get("cursor", 0))
        return web.json_response(
            {"data": records[at : at + 2], "meta": {"next": at + 2 if at + 2 < len(records) else None}}
        )

    app = web.Application()
    app.add_routes([web.get("/v1/bills", bills)])
    async with served(app) as base:
        file = tmp_path / "books.toml"
        file.write_text(example.replace("https://procure.example.com", base))
        (source,) = load({"PROCURE_TOKEN": "s3cret"}, config=file).sources
        connector = connector_for(source)
        pages = [page async for page in connector.pull(None)]
        await connector.close()
    found = [document for page in pages for document in page.documents if isinstance(document, Invoice)]
    assert [
        (each.external_id, each.status, each.total, each.tax, each.subtotal, each.amount_due) for each in found
    ] == [
        ("1", "OPEN", 11_900, 1_900, 10_000, 11_900),
        ("2", "PAID", 11_900, 1_900, 10_000, 0),
    ]
    assert found[0].lines[0].account == "4711"
    assert [each.external_id for page in pages for each in page.deletions] == ["3"]
    assert not [problem for page in pages for problem in page.problems]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"])
async def test_a_record_from_the_future_keeps_no_other_from_being_read(vendor: tuple[Vendor, str], at: str) -> None:
    made, base = vendor
    made.bill(1, at=at)
    changed: dict[str, Any] = {"changed": {"param": "since", "field": "updated_at"}}
    first = await pull(base, **changed)
    made.bill(2, at="2026-05-28T20:26:40Z")  # the moment of that pull
    assert "2" in (await pull(base, first.cursor, NOW + 60, **changed)).ids


@pytest.mark.parametrize("value", ["inf", "Infinity", "nan", "1e999"])
async def test_a_moment_that_is_no_number_is_none(vendor: tuple[Vendor, str], value: str) -> None:
    made, base = vendor
    made.bill(1, moment=value)
    changed: dict[str, Any] = {"changed": {"param": "since", "field": "moment", "format": "epoch"}}
    first = await pull(base, **changed)
    assert (await pull(base, first.cursor, NOW + 60, **changed)).ids == {"1"}


@pytest.mark.parametrize(
    "links",
    [
        ['</v1/bills?at=3&of=a,b>; rel="next"'],
        ['</v1/bills?at=0>; rel="prev"', '</v1/bills?at=3>; rel="next"'],
        ['</x>; title="a, b"; rel=last, </v1/bills?at=3>; rel="next archives"'],
        ["</v1/bills?at=3>;REL=Next"],
    ],
)
async def test_links_in_every_form_that_the_rule_allows(links: list[str]) -> None:
    made = Vendor(style="link")
    for number in range(1, 5):
        made.bill(number)

    async def listed(request: web.Request) -> web.StreamResponse:
        answer = await made.list(request)
        if answer.headers.popall("Link", None):
            for link in links:
                answer.headers.add("Link", link)
        return answer

    app = web.Application()
    app.router.add_get("/v1/bills", listed)
    async with served(app) as base:
        assert (await pull(base, paging={"style": "link"})).ids == {"1", "2", "3", "4"}


@pytest.mark.parametrize("identifier", ["..", ".", "a/../..", "7?all=1", "7#x", "7%2F8", "\u00fc x"])
async def test_an_id_never_leads_to_another_address(identifier: str) -> None:
    asked: list[str] = []

    async def listed(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": [{"id": identifier}]})

    async def anything(request: web.Request) -> web.StreamResponse:
        asked.append(request.match_info["id"])
        return web.json_response({"bill": None})

    app = web.Application()
    app.router.add_get("/v1/bills", listed)
    app.router.add_get("/v1/bills/{id}", anything)
    async with served(app) as base:
        assert len((await pull(base, item="/bills/{id}", item_at="bill")).problems) == 1
    assert asked == ([] if identifier in (".", "..") else [identifier])


async def test_of_payroll_nothing_is_kept_beside_the_document(vendor: tuple[Vendor, str]) -> None:
    made, base = vendor
    made.bill(1, day="2026-05-31", slips=[{"id": "s", "who": "7", "name": "A. Smith", "net": 5}])
    fields = {"external_id": "id", "net": "slips[0].net", "currency": "money.cur", "pay_date": "day", "period_start": "day",
              "period_end": "day", "payslips": "slips[].{external_id: id, employee_id: who, employee_name: name, net: net}"}  # fmt: skip
    more = {"kind": "payroll_run", "fields": fields, "fixed": {"source_status": "Posted"}, "values": {}}
    (run,) = (await pull(base, None, NOW, None, **more)).documents
    assert isinstance(run, PayrollRun)
    assert run.payslips is not None
    assert (run.payslips[0].employee_name, run.raw) == ("A. Smith", {})


@pytest.mark.parametrize("net", [800.005, 8 * 10**15])
async def test_what_somebody_earns_stands_in_no_message(vendor: tuple[Vendor, str], net: float) -> None:
    made, base = vendor
    made.bill(1, day="2026-05-31", pay=net)
    fields = {
        "external_id": "id",
        "net": "pay",
        "currency": "money.cur",
        "pay_date": "day",
        "period_start": "day",
        "period_end": "day",
    }
    more = {"kind": "payroll_run", "fields": fields, "fixed": {"source_status": "Posted"}, "values": {}}
    (problem,) = (await pull(base, None, NOW, None, **more)).problems
    assert "net" in problem.message
    assert "80" not in problem.message
