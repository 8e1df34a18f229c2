"""Texts come back as they went in: every code point that PostgreSQL holds, in every field that holds text, by every channel."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import aiohttp
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.authentication import SCOPES
from sources.documents import BankAccount, InvoiceLine, Party, TaxAmount
from tests.gateway.toy import serve, token, toy_app
from tests.graph import Graph, entry, open_graph
from tests.proof.watchers import over_events, over_websocket, socket
from tests.sources.mirror.kit import Kit, Script
from tests.world import LIMITS

CONTROLS = {*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A}
SURROGATES = range(0xD800, 0xE000)
BATCH = 80
"""Entries of a request: escaped they are nearly as long as a body may be."""


def every_character() -> str:
    """All code points but the controls that are refused and surrogates, noncharacters and private use among them."""
    return "".join(chr(n) for n in range(0x110000) if n not in CONTROLS and n not in SURROGATES)


def samples() -> Iterator[str]:
    """At most 255 characters each: some of every plane, what escaping is about, and what only looks like an escape."""
    for plane in range(17):
        first = plane * 0x10000
        numbers = [
            *range(first + 0xA0, first + 0xD800, 0x1111),
            first + 0xE000,
            first + 0xFFFD,
            first + 0xFFFE,
            first + 0xFFFF,
        ]
        yield "".join(chr(number) for number in numbers)
    yield "".join(chr(number) for number in (*range(0xD7F0, 0xD800), *range(0xE000, 0xE010), *range(0xFDD0, 0xFDF0)))
    for category in ("Cf", "Zl", "Zp", "Zs", "Mn", "Me"):
        found = [chr(number) for number in range(0xA0, 0x20000) if unicodedata.category(chr(number)) == category]
        yield "a" + "b".join(found[:100])
    yield "\u202eright to left\u202c \u05d0\u0628 \u200f\u2067x\u2069"
    yield "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f1fa\U0001f1f8\u2764\ufe0f\U0001f44d\U0001f3fd"
    yield "e\u0301\u0327\u0338 \u1100\u1161\u11a8 \ufb03 \u212b \u00c5 A\u030a"
    yield from (
        '"',
        "\\",
        '\\"',
        '"}]},"errors":[{"',
        "\\u0000\\ud800\\n",
        "</script><!--",
        "'; DROP TABLE x; --",
        "{0} %s ${x} r[0]",
    )
    yield from (
        "line\nfeed\ttab",
        "\n",
        "data: x\n\nevent: complete\ndata:\n",
        " around ",
        "\ufeffmark",
        "\u2028\u2029",
        "null",
    )


SAMPLES = [text if text.strip() else f"x{text}" for text in samples()]
KEY_CONTROLS = "".join(chr(number) for number in sorted(CONTROLS - {0}))
"""Keys are not for people: all controls but NUL may stand in them."""

POST = "mutation ($input: PostEntriesInput!) { postEntries(input: $input) { results { __typename "
RESULT = """... on EntryRejected { reasons { code message path } } ... on IdempotencyConflict { idempotencyKey used: entry { idempotencyKey } }
  ... on EntryPosted { entry { FIELDS } } } } }"""
FIELDS = """sequence description reference journal idempotencyKey postedBy ledger { name lockedThrough } reversedBy { description }
  lines { id description taxCode dimensions { name value } account { id code name } }"""


@dataclass
class Wire:
    """The graph behind a live server, and a client of it."""

    graph: Graph
    session: aiohttp.ClientSession
    url: str
    subject: str = "someone"

    @property
    def token(self) -> str:
        return token(subject=self.subject, scopes=sorted(SCOPES))

    async def send(self, body: bytes) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json",
                   "accept": "application/graphql-response+json"}  # fmt: skip
        async with self.session.post(self.url, data=io.BytesIO(body), headers=headers) as response:
            return response.status, await response.read()

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of an answer whose bytes are what orjson would make of them, and UTF-8."""
        status, raw = await self.send(json.dumps({"query": query, "variables": variables}).encode())
        answer = json.loads(raw.decode("utf-8", "strict"))
        assert (status, answer.get("errors")) == (200, None), raw[:500]
        assert orjson.dumps(answer) == raw
        return answer["data"]


@asynccontextmanager
async def wired(graph: Graph) -> AsyncIterator[Wire]:
    app = toy_app(graph.engine)  # type: ignore[arg-type]
    async with serve(app) as address, aiohttp.ClientSession() as session:
        yield Wire(graph, session, f"{address}/graphql")


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with open_graph(database_url, LIMITS) as graph, wired(graph) as opened:
        await graph.found()
        yield opened


async def test_every_character_comes_back(wire: Wire) -> None:
    """Some 1.1 million, a thousand to a description: from the posting's own answer, and read, kept, and answered as kept."""
    text = every_character()
    assert len(text) == 0x110000 - len(SURROGATES) - len(CONTROLS)
    stated = [f"<{text[at : at + 998]}>" for at in range(0, len(text), 998)]
    for first in range(0, len(stated), BATCH):
        entries = [entry(f"k{first + n}", description=each) for n, each in enumerate(stated[first : first + BATCH])]
        posted = await wire.data(
            POST + "... on EntryPosted { entry { description } } } } }", input={"entries": entries}
        )
        assert [each["entry"]["description"] for each in posted["postEntries"]["results"]] == stated[
            first : first + BATCH
        ]
    read = """query ($after: String) { entries(ledger: "us", first: 1000, after: $after) {
      pageInfo { endCursor } nodes { description reversedBy { id } } } }"""
    for _ in range(3):
        found, after = [], None
        while (page := (await wire.data(read, after=after))["entries"])["nodes"]:
            found += [each["description"] for each in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
        assert found == stated


def drafted(number: int, text: str, account: str) -> dict[str, Any]:
    """An entry that has the text wherever it may stand."""
    lines = [
        {"account": account, "debit": "1", "description": text, "taxCode": text, "dimensions": [{"name": "team", "value": text}]},
        {"account": "4000", "credit": "1"},
    ]  # fmt: skip
    key = f"{number}{text}"[:255] if number else KEY_CONTROLS
    return entry(key, lines=lines, description=text, reference=text, journal=text)


def expected(draft: dict[str, Any], subject: str, account: str, name: str) -> dict[str, Any]:
    line = draft["lines"][0]
    return {
        "description": draft["description"], "reference": draft["reference"], "journal": draft["journal"],
        "idempotencyKey": draft["idempotencyKey"], "postedBy": subject,
        "line": {"description": line["description"], "taxCode": line["taxCode"], "dimensions": line["dimensions"],
                 "account": {"id": f"account:us:{account}", "code": account, "name": name}},
    }  # fmt: skip


def shown(node: dict[str, Any]) -> dict[str, Any]:
    line = node["lines"][0]
    names = ("description", "reference", "journal", "idempotencyKey", "postedBy")
    return {name: node[name] for name in names} | {
        "line": {name: line[name] for name in ("description", "taxCode", "dimensions", "account")}
    }


async def test_texts_come_back_from_every_field_by_every_channel(wire: Wire) -> None:
    """Answers of mutations, queries (read, kept, answered as kept), filters, ids, both streams."""
    wire.subject = "".join(text for text in SAMPLES if text.isprintable())[:200]
    accounts = [{"code": f"{n}{text}"[:255], "name": text, "type": "ASSET"} for n, text in enumerate(SAMPLES)]
    made = await wire.data(
        """mutation ($chart: CreateAccountsInput!) { createAccounts(input: $chart) {
             ... on AccountsSaved { accounts { code name } } ... on ChangeRejected { reasons { message path } } } }""",
        chart={"ledger": "us", "accounts": accounts},
    )
    pairs = [(each["code"], each["name"]) for each in accounts]
    assert [(each["code"], each["name"]) for each in made["createAccounts"]["accounts"]] == pairs
    drafts = [drafted(number, text, code) for number, (text, (code, _)) in enumerate(zip(SAMPLES, pairs, strict=True))]
    wanted = [expected(draft, wire.subject, *pair) for draft, pair in zip(drafts, pairs, strict=True)]
    posted = await wire.data(POST + RESULT.replace("FIELDS", FIELDS), input={"entries": drafts})
    assert [shown(result["entry"]) for result in posted["postEntries"]["results"]] == wanted
    page = f'{{ entries(ledger: "us", first: 1000) {{ nodes {{ {FIELDS} }} }} }}'
    for name in (*SAMPLES, "US"):
        await wire.data(
            'mutation ($n: String!) { updateLedger(input: {code: "us", name: $n}) { ... on LedgerSaved { ledger { name } } } }',
            n=name,
        )
        nodes = (await wire.data(page))["entries"]["nodes"]
        assert {node["ledger"]["name"] for node in nodes} == {name}
        assert [shown(node) for node in nodes] == wanted
    await found_again(wire, drafts, pairs)
    query = f'subscription {{ postings(ledger: "us", after: "0") {{ entry {{ {FIELDS} }} }} }}'
    for source in (over_websocket, over_events):
        async with aclosing(source(wire.url, wire.token, query)) as payloads:
            seen = [shown((await anext(payloads))["data"]["postings"]["entry"]) for _ in wanted]
        assert seen == wanted, source


async def found_again(wire: Wire, drafts: list[dict[str, Any]], pairs: list[tuple[str, str]]) -> None:
    """By filters and ids, given as variables and as literals."""
    text = """query ($f: EntryFilter, $c: String!, $id: ID!) { entries(ledger: "us", filter: $f) { nodes { sequence } }
      account(ledger: "us", code: $c) { code } node(id: $id) { ... on Account { code } } }"""
    for number, (draft, (code, _)) in enumerate(zip(drafts, pairs, strict=True), 1):
        filter_ = {name: draft[name] for name in ("reference", "idempotencyKey")}
        filter_ |= {
            "journals": [draft["journal"]],
            "accountCodes": [code],
            "dimension": draft["lines"][0]["dimensions"][0],
        }
        found = await wire.data(text, f=filter_, c=code, id=f"account:us:{code}")
        assert [node["sequence"] for node in found["entries"]["nodes"]] == [number], draft
        assert (found["account"], found["node"]) == ({"code": code}, {"code": code})
        for literal in (json.dumps(code), json.dumps(code, ensure_ascii=False)):
            inline = f'{{ account(ledger: "us", code: {literal}) {{ code }} }}'
            assert (await wire.data(inline))["account"] == {"code": code}


async def test_events_are_framed_by_their_own_line_ends_alone(wire: Wire) -> None:
    """Of the response's bytes: each event is its name, one line of data and a blank line, whatever the texts hold."""
    await wire.graph.post(*[entry(f"k{n}", description=text) for n, text in enumerate(SAMPLES)])
    query = 'subscription { postings(ledger: "us", after: "0") { entry { description } } }'
    headers = {"authorization": f"Bearer {wire.token}", "accept": "text/event-stream"}
    raw = b""
    async with wire.session.post(wire.url, json={"query": query}, headers=headers) as response:
        while raw.count(b"\n\n") < len(SAMPLES):
            raw += await response.content.readany()
    for event, text in zip(raw.split(b"\n\n"), SAMPLES, strict=False):
        name, data = event.split(b"\n")
        assert name == b"event: next"
        assert json.loads(data.removeprefix(b"data: "))["data"]["postings"]["entry"]["description"] == text
    assert b"\r" not in raw


# ---------------------------------------------------------------- sources

ANY = [*SAMPLES, "\r\n\x07\x1b[0m\x7f\x85", "nul\0", "lone \ud800 and \udfff"]
"""What a source may state: controls, and characters that no text here can hold."""


async def test_texts_of_sources_come_back(database_url: str) -> None:
    """What cannot be held comes as U+FFFD; everything else as the source stated it."""
    payroll, stripe, bank = (Script(lists_everything=True) for _ in range(3))
    sources = [(Kit.stripe(ledger="us"), stripe), (Kit.payroll(ledger="us"), payroll), (Kit.bank(ledger="us"), bank)]
    for number, text in enumerate(ANY):
        account = BankAccount(external_id=f"{number}{text}", currency="USD", name=text, iban=text)
        moved = Kit.moved(
            f"{number}{text}", 1, date(2026, 3, 1), currency="USD", description=text, counterparty=text, reference=text
        )
        lines, taxes = (InvoiceLine(amount=1, description=text, tax_code=text),), (TaxAmount(amount=0, code=text),)
        party = Party(name=text, external_id=text, tax_id=text)
        stripe.pages += [
            page_of(
                Kit.invoice(f"{number}{text}", number=text, source_status=text, party=party, lines=lines, taxes=taxes),
                payment_of(f"{number}{text}", text),
            )
        ]
        payroll.pages += [page_of(Kit.run(f"{number}{text}", source_status=text))]
        payroll.slips[clean(f"{number}{text}")] = (
            Kit.slip(f"{text}", employee_id=text, employee_name=text, department=text),
        )
        bank.pages += [
            page_of(
                Kit.statement(
                    f"{number}{text}", moved, account=account, warnings=(text,), to_date=date(2026, 3, 31), closing=1
                )
            )
        ]
    for script in (stripe, payroll, bank):
        script.pages[-1] = Kit.pages(script.pages[-1].documents)[0]
    wide = LIMITS.__class__(cost=10**9, source_deadline_seconds=60)
    async with open_graph(database_url, wide, sources=sources) as graph, wired(graph) as wire:
        await graph.found()
        await graph.run(OF_SOURCES)
        found = await wire.data(OF_SOURCES)
        slips, after = [], None
        while (page := (await wire.data(SLIPS, after=after))["payrollRuns"])["nodes"]:
            slips += page["nodes"]
            after = page["pageInfo"]["endCursor"]

    texts = {clean(text) for text in ANY}
    for name in ("employeeId", "employeeName", "department"):
        assert set(values(slips, ["payslips", name])) == texts
    for path in PATHS:
        assert set(values(found, path.split("."))) == texts, path
    for path in ("invoices", "payments", "payrollRuns", "bankAccounts"):
        ids = {clean(f"{number}{text}") for number, text in enumerate(ANY)}
        assert set(values(found, [path, "nodes", "externalId"])) == ids


def payment_of(external_id: str, text: str) -> Any:
    ids = ("invoice_external_id", "payout_external_id", "parent_external_id", "bank_account")
    words = dict.fromkeys(("source_status", "description", "reference", *ids), text)
    return Kit.payment(external_id, party=Party(name=text, external_id=text, tax_id=text), paid_out=(text,), **words)


def page_of(*documents: Any) -> Any:
    (page,) = Kit.pages(documents)
    return page.__class__(documents=page.documents, cursor="1", complete=False)


def clean(text: str) -> str:
    return "".join("\ufffd" if char == "\0" or ord(char) in SURROGATES else char for char in text)


OF_SOURCES = """{
  invoices(first: 1000) { nodes { id externalId number sourceStatus party { name externalId taxId } lines { description taxCode } taxes { code } } }
  payments(first: 1000) { nodes { id externalId sourceStatus party { name externalId taxId } invoiceExternalId payoutExternalId
    parentExternalId description reference bankAccount } }
  payrollRuns(first: 1000) { nodes { id externalId sourceStatus } }
  bankAccounts(first: 1000) { nodes { id externalId name iban transactions { nodes { id description counterparty reference } } } }
  cashPositions { nodes { warnings } } }"""
SLIPS = """query ($after: String) { payrollRuns(first: 20, after: $after) { pageInfo { endCursor }
  nodes { payslips { employeeId employeeName department } } } }"""
PATHS = (
    "invoices.nodes.number", "invoices.nodes.sourceStatus", "invoices.nodes.party.name", "invoices.nodes.party.externalId",
    "invoices.nodes.party.taxId", "invoices.nodes.lines.description", "invoices.nodes.lines.taxCode", "invoices.nodes.taxes.code",
    "payments.nodes.sourceStatus", "payments.nodes.party.name", "payments.nodes.party.externalId", "payments.nodes.party.taxId",
    "payments.nodes.invoiceExternalId", "payments.nodes.payoutExternalId", "payments.nodes.parentExternalId",
    "payments.nodes.description", "payments.nodes.reference", "payments.nodes.bankAccount",
    "payrollRuns.nodes.sourceStatus", "bankAccounts.nodes.name", "bankAccounts.nodes.iban",
    "bankAccounts.nodes.transactions.nodes.description", "bankAccounts.nodes.transactions.nodes.counterparty",
    "bankAccounts.nodes.transactions.nodes.reference", "cashPositions.nodes.warnings",
)  # fmt: skip


def values(found: Any, path: list[str]) -> Iterator[str]:
    if isinstance(found, list):
        for item in found:
            yield from values(item, path)
    elif path:
        yield from values(found[path[0]], path[1:])
    else:
        yield found


# ---------------------------------------------------------------- what no text can hold

INPUT = (
    '{"ledger":"us","idempotencyKey":"k","effectiveDate":"2026-03-15","description":"x","reference":"TEXT","lines":[]}'
)
BAD = [rf"a{escape}b" for escape in (r"\ud800", r"\udc00", r"\udc00\ud800", r"\uD83D", r"\u0000")]


async def test_what_is_no_text_is_refused_before_anything_happens(wire: Wire) -> None:
    """Lone surrogates and NUL, as escapes of JSON, anywhere: a bad request, over HTTP and over a socket."""
    for text in BAD:
        for body in bodies(text):
            status, raw = await wire.send(body.encode())
            assert (status, orjson.loads(raw)["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST"), raw
            await refused_by_socket(wire, body)
    assert (await wire.data('{ ledger(code: "us") { lastSequence } }'))["ledger"] == {"lastSequence": 0}


def bodies(text: str) -> list[str]:
    """Requests with the text in a variable, in the document, as the operation's name, and as a variable's."""
    query = "mutation M($input: PostEntryInput!) { postEntry(input: $input) { __typename } }"
    return [
        f'{{"query":"{query}","variables":{{"input":{INPUT.replace("TEXT", text)}}}}}',
        f'{{"query":"{query} # {text}","variables":{{"input":{INPUT}}}}}',
        f'{{"query":"{query}","operationName":"{text}","variables":{{"input":{INPUT}}}}}',
        f'{{"query":"{query}","variables":{{"{text}":1,"input":{INPUT}}}}}',
    ]


async def refused_by_socket(wire: Wire, body: str) -> None:
    """By an error of the operation, or by closing the socket as on any message that is none."""
    async with socket(wire.url.replace("http", "ws", 1), wire.token) as opened:
        await opened.send(f'{{"type":"subscribe","id":"1","payload":{body}}}')
        try:
            message = json.loads(await opened.recv())
        except ConnectionClosed:
            assert opened.close_code == 4400
        else:
            codes = [error["extensions"]["code"] for error in message["payload"]]
            assert (message["type"], codes) == ("error", ["BAD_REQUEST"]), message


async def test_what_is_no_text_is_refused_as_a_literal(wire: Wire) -> None:
    """Escapes of GraphQL: an invalid document, or a typed refusal of the field."""
    for text in (r"\u0000", r"\u{0}", r"\ud800", r"\u{dfff}", r"\u{110000}", r"\udc00\ud800"):
        for query in stating(text):
            await refused(wire, query)
    state = await wire.data('{ ledgers { lastSequence } account(ledger: "us", code: "1000") { name } }')
    assert state == {"ledgers": [{"lastSequence": 0}], "account": {"name": "Bank"}}


def stating(text: str) -> Iterator[str]:
    """Documents with the escape in a string."""
    lines = '[{account: "1000", debit: 1}, {account: "4000", credit: 1}]'
    fixed = f'ledger: "us", effectiveDate: "2026-03-15", lines: {lines}'
    for stated in (f'idempotencyKey: "{text}", description: "x"', f'idempotencyKey: "k", description: "{text}"'):
        query = f"mutation {{ postEntry(input: {{{fixed}, {stated}}}) {{ __typename ... on EntryRejected {{ reasons {{ code message }} }} }} }}"
        yield query
    yield from (
        f'{{ account(ledger: "us", code: "{text}") {{ code }} }}',
        f'{{ ledger(code: "{text}") {{ code }} }}',
        f'{{ accounts(ledger: "{text}") {{ totalCount }} }}',
        f'{{ node(id: "account:us:{text}") {{ id }} }}',
        f'{{ node(id: "{text}") {{ id }} }}',
        f'{{ entries(ledger: "us", filter: {{reference: "{text}", dimension: {{name: "team", value: "{text}"}}}}) {{ totalCount }} }}',
        f'{{ invoices(filter: {{sources: ["{text}"]}}) {{ totalCount }} }}',
        f'mutation {{ createLedger(input: {{code: "x", name: "{text}", functionalCurrency: "USD"}}) {{ __typename }} }}',
        f'mutation {{ updateAccount(input: {{ledger: "us", code: "1000", name: "{text}"}}) {{ __typename }} }}',
        f'mutation {{ updateAccount(input: {{ledger: "us", code: "{text}", name: "x"}}) {{ __typename }} }}',
    )


async def refused(wire: Wire, query: str) -> None:
    """Nothing is found or done, and nobody is told of an internal error."""
    status, raw = await wire.send(orjson.dumps({"query": query}))
    answer = orjson.loads(raw)
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    assert codes <= {"GRAPHQL_PARSE_FAILED", "INVALID_ARGUMENT", "NOT_FOUND"}, (query, raw)
    assert status == (400 if "GRAPHQL_PARSE_FAILED" in codes else 200)
    found = next(iter((answer.get("data") or {"": None}).values()))
    assert found is None or found["__typename"] in ("EntryRejected", "ChangeRejected"), (query, raw)


async def test_messages_quote_texts_as_json(wire: Wire) -> None:
    """Errors and refusals that name what was asked for, and operations whose name is none."""
    for text in SAMPLES:
        await quoted(wire, text)


async def quoted(wire: Wire, text: str) -> None:
    for query, variables in (
        ("query ($c: String!) { entries(ledger: $c) { totalCount } }", {"c": text}),
        ("query ($c: [String!]) { invoices(filter: {sources: $c, ledgers: $c}) { totalCount } }", {"c": [text]}),
        ('query ($c: String) { entries(ledger: "us", after: $c) { totalCount } }', {"c": text}),
        ('query ($c: EntryOrder!) { entries(ledger: "us", orderBy: $c) { totalCount } }', {"c": text}),
        ('query ($c: Int) { entries(ledger: "us", first: $c) { totalCount } }', {"c": {text: text}}),
        (f"{{ entries(ledger: {json.dumps(text, ensure_ascii=False)}) {{ totalCount }} {text} }}", {}),
    ):
        raw = (await wire.send(orjson.dumps({"query": query, "variables": variables})))[1]
        answer = json.loads(raw.decode("utf-8", "strict"))
        assert orjson.dumps(answer) == raw
        assert answer["errors"][0]["extensions"]["code"] not in ("INTERNAL", "BAD_REQUEST"), raw
    body = {"query": "query A { ledgers { code } } query B { ledgers { name } }", "operationName": text}
    answer = json.loads((await wire.send(orjson.dumps(body)))[1])
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    lines = [{"account": text, "debit": "1"}, {"account": "4000", "credit": "1", "currency": text}]
    reasons = await wire.data(POST + RESULT.replace("FIELDS", "id"), input={"entries": [entry("k", lines=lines)]})
    assert {reason["code"] for reason in reasons["postEntries"]["results"][0]["reasons"]} >= {"UNKNOWN_CURRENCY"}


async def test_names_of_any_length_and_form_are_answered(wire: Wire) -> None:
    """Aliases, variables, operations and fragments: a name is [_A-Za-z][_0-9A-Za-z]*, however long, whatever words it is of."""
    for name in (
        "_",
        "__proto__",
        "x" * 10_000,
        "None",
        "lambda",
        "r",
        "c0",
        "rows",
        "enumerate",
        "true1",
        "data",
        "errors",
        "null_",
    ):
        text = (
            f"query {name}(${name}: String!) {{ {name}: ledger(code: ${name}) {{ {name}: name ...{name} }} }} "
            f"fragment {name} on Ledger {{ {name}0: code }}"
        )
        for _ in range(3):
            data = await wire.data(text, **{name: "us"})
            assert data == {name: {name: "US", f"{name}0": "us"}}
