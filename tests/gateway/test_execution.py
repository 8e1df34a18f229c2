"""The planned execution: what it answers, how few statements it takes, and what it says when something fails."""

from __future__ import annotations

import asyncio

import pytest

from gateway.limits import Limits
from resolvers.context import Context
from tests.graph import Graph, caller, entry, open_graph


@pytest.fixture
async def graph(database_url):
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def test_an_entry_comes_back_as_it_was_posted(graph: Graph):
    """Amounts, dates, dimensions and links of a posted entry are exactly what was stated."""
    lines = [
        {
            "account": "1000",
            "debit": "1234.5",
            "dimensions": [{"name": "team", "value": "b"}, {"name": "a", "value": "1"}],
        },
        {"account": "4000", "credit": "1234.50", "description": 'Quotes " and \\ and ünïcode 🜁', "taxCode": "V19"},
    ]
    await graph.post(entry("k1", lines=lines, reference="R1", journal="SALES", documentDate="2026-03-01"))
    data = await graph.data(
        """{ entry(ledger: "us", sequence: 1) { id sequence effectiveDate documentDate postedBy journal description
             reference idempotencyKey source total reverses { id } reversedBy { id } documents { id }
             ledger { id code } lines { id lineNumber debit credit currency functionalDebit functionalCredit
             description taxCode dimensions { name value } account { id code name type normalSide } entry { sequence } } } }"""
    )
    assert data["entry"] | {"lines": []} == {
        "id": "entry:us:1", "sequence": 1, "effectiveDate": "2026-03-15", "documentDate": "2026-03-01",
        "postedBy": "tester", "journal": "SALES", "description": "Sale k1", "reference": "R1", "idempotencyKey": "k1",
        "source": None, "total": "1234.50", "reverses": None, "reversedBy": None, "documents": [],
        "ledger": {"id": "ledger:us", "code": "us"}, "lines": [],
    }  # fmt: skip
    first, second = data["entry"]["lines"]
    assert first["debit"] == "1234.50"
    assert first["credit"] == "0.00"
    assert first["dimensions"] == [{"name": "a", "value": "1"}, {"name": "team", "value": "b"}]
    assert first["account"] == {
        "id": "account:us:1000",
        "code": "1000",
        "name": "Bank",
        "type": "ASSET",
        "normalSide": "DEBIT",
    }
    assert first["id"] == "line:us:1:1"
    assert second["description"] == 'Quotes " and \\ and ünïcode 🜁'
    assert (second["taxCode"], second["functionalCredit"]) == ("V19", "1234.50")
    assert second["entry"] == {"sequence": 1}


async def test_any_page_takes_the_same_few_statements(database_url, monkeypatch):
    """Entries with their lines and the lines' accounts: three statements, whatever the page size, when nothing is kept."""
    counts: list[int] = []
    original = Context.fetch

    async def fetch(self, sql, *args):
        counts[-1] += 1
        return await original(self, sql, *args)

    query = """query ($n: Int) { entries(ledger: "us", first: $n) { nodes {
      sequence lines { debit account { code name } } } } }"""
    async with open_graph(database_url, Limits(answer_cache_bytes=0, fragment_cache_bytes=0)) as graph:
        await graph.found()
        await graph.post(*[entry(f"k{n}") for n in range(40)])
        monkeypatch.setattr(Context, "fetch", fetch)
        for size in (1, 7, 40):
            counts.append(0)
            data = await graph.data(query, {"n": size})
            assert len(data["entries"]["nodes"]) == size
    assert counts == [3, 3, 3]


async def test_paging_visits_everything_once_in_both_directions(graph: Graph):
    """Forward and backward walks over every order give every entry exactly once."""
    dates = ["2026-03-15", "2026-01-01", "2026-03-15", "2026-02-01", "2026-01-01", "2026-12-31", "2026-06-30"]
    await graph.post(*[entry(f"k{n}", effectiveDate=day) for n, day in enumerate(dates)])
    for order in ("SEQUENCE_ASC", "SEQUENCE_DESC", "EFFECTIVE_DATE_ASC", "EFFECTIVE_DATE_DESC"):
        whole = await graph.data(
            'query ($o: EntryOrder!) { entries(ledger: "us", orderBy: $o) { totalCount nodes { sequence } } }',
            {"o": order},
        )
        expected = [node["sequence"] for node in whole["entries"]["nodes"]]
        assert whole["entries"]["totalCount"] == len(dates)
        for arguments, forward in (("first: 3, after: $c", True), ("last: 3, before: $c", False)):
            walked: list[int] = []
            cursor, more = None, True
            while more:
                page = (await graph.data(
                    f"""query ($o: EntryOrder!, $c: String) {{ entries(ledger: "us", orderBy: $o, {arguments}) {{
                        edges {{ cursor node {{ sequence }} }}
                        pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}""",
                    {"o": order, "c": cursor},
                ))["entries"]  # fmt: skip
                sequences = [edge["node"]["sequence"] for edge in page["edges"]]
                walked = walked + sequences if forward else sequences + walked
                info = page["pageInfo"]
                assert info["startCursor"] == page["edges"][0]["cursor"]
                more = info["hasNextPage" if forward else "hasPreviousPage"]
                cursor = info["endCursor" if forward else "startCursor"]
            assert walked == expected


@pytest.mark.parametrize("arguments", [
    'after: "nonsense"', 'after: "é"', 'after: ""', 'after: "WyJlbnRyaWVzOnNlcXVlbmNlIiwiYSJd"',
    'after: "WyJlbnRyaWVzOnNlcXVlbmNlIiwxLDJd"', 'after: "WyJ4IiwxXQ"', 'after: "e30"',
    'after: "WyJlbnRyaWVzOnNlcXVlbmNlIiw5OTk5OTk5OTk5OTk5OTk5OTk5XQ"', 'before: "WyJlbnRyaWVzOnNlcXVlbmNlIix0cnVlXQ"',
])  # fmt: skip
async def test_a_forged_cursor_is_a_typed_error(graph: Graph, arguments: str):
    """Whatever is not a cursor of the list costs the field, with INVALID_CURSOR."""
    answer = await graph.run(f'{{ entries(ledger: "us", {arguments}) {{ nodes {{ id }} }} ledgers {{ code }} }}')
    assert answer["data"] == {"entries": None, "ledgers": [{"code": "us"}]}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["entries"], "INVALID_CURSOR")
    ]


@pytest.mark.parametrize("arguments", ["first: -1", "first: 1001", "last: 1001", "first: 1, last: 1"])
async def test_page_sizes_out_of_range_are_typed_errors(graph: Graph, arguments: str):
    """first and last are between 0 and 1,000, and never together."""
    answer = await graph.run(f'{{ accounts(ledger: "us", {arguments}) {{ nodes {{ id }} }} }}')
    assert answer["data"] == {"accounts": None}
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


async def test_a_ledger_outside_the_claim_looks_unknown(graph: Graph):
    """Another ledger's content, ids and errors are those of a ledger that does not exist."""
    await graph.found("eu", "EUR")
    await graph.post(entry("k1"))
    outsider = caller(ledgers=["eu"])
    query = """query ($code: String!, $ids: [ID!]!) {
      ledgers { code } ledger(code: $code) { code } account(ledger: $code, code: "1000") { name }
      entry(ledger: $code, sequence: 1) { id } nodes(ids: $ids) { id } entries(ledger: $code) { totalCount }
      trialBalance(ledger: $code) { totalDebit } }"""
    answers = []
    for code in ("us", "no"):
        ids = [
            f"{kind}:{code}{rest}"
            for kind, rest in (("ledger", ""), ("account", ":1000"), ("entry", ":1"), ("line", ":1:1"))
        ]
        answer = await graph.run(query, {"code": code, "ids": ids}, outsider)
        answers.append(str(answer).replace(repr(code), "CODE"))
        assert answer["data"]["ledgers"] == [{"code": "eu"}]
        assert answer["data"]["nodes"] == [None] * 4
    assert answers[0] == answers[1]


async def test_nodes_answer_in_order_and_null_for_what_is_not_there(graph: Graph):
    """Every id that the graph gives finds its object again; malformed ones are null."""
    await graph.post(entry("k1"))
    ids = [
        "line:us:1:2",
        "x",
        "account:us:4000",
        "entry:us:01",
        "entry:us:1",
        "entry:us:99",
        "ledger:us",
        "ledger:us:x",
        "entry:us:1",
        "account:us:",
    ]
    data = await graph.data(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Account { name } } }", {"ids": ids}
    )
    assert data["nodes"] == [
        {"__typename": "JournalLine", "id": "line:us:1:2"}, None,
        {"__typename": "Account", "id": "account:us:4000", "name": "Sales"}, None,
        {"__typename": "JournalEntry", "id": "entry:us:1"}, None, {"__typename": "Ledger", "id": "ledger:us"}, None,
        {"__typename": "JournalEntry", "id": "entry:us:1"}, None,
    ]  # fmt: skip


async def test_reports_add_up(graph: Graph):
    """Balances and trial balance at dates before, within and after the movements."""
    for n, (day, amount) in enumerate(
        [("2026-01-31", "100.00"), ("2026-02-01", "10.00"), ("2026-02-15", "1.00"), ("2026-03-01", "0.10")]
    ):
        await graph.post(entry(f"k{n}", amount, effectiveDate=day))
    data = await graph.data(
        """{ account(ledger: "us", code: "1000") { all: functionalBalance none: functionalBalance(asOf: "2026-01-30")
             jan: functionalBalance(asOf: "2026-01-31") feb: functionalBalance(asOf: "2026-02-14")
             balances(asOf: "2026-02-28") { currency debit credit net functionalNet } }
           all: trialBalance(ledger: "us") { sequence totalDebit totalCredit rows { account { code } opening debit credit closing } }
           mid: trialBalance(ledger: "us", from: "2026-02-01", to: "2026-02-28") { rows { account { code } opening debit credit closing } } }"""
    )
    account = data["account"]
    assert (account["all"], account["none"], account["jan"], account["feb"]) == ("111.10", "0.00", "100.00", "110.00")
    assert account["balances"] == [
        {"currency": "USD", "debit": "111.00", "credit": "0.00", "net": "111.00", "functionalNet": "111.00"}
    ]
    assert data["all"]["totalDebit"] == data["all"]["totalCredit"] == "111.10"
    assert data["all"]["sequence"] == 4
    assert data["mid"]["rows"] == [
        {"account": {"code": "1000"}, "opening": "100.00", "debit": "11.00", "credit": "0.00", "closing": "111.00"},
        {"account": {"code": "4000"}, "opening": "-100.00", "debit": "0.00", "credit": "11.00", "closing": "-111.00"},
    ]


async def test_mutations_run_in_order_and_see_their_own_changes(graph: Graph):
    """Each mutation field is done, with its selection read, before the next begins."""
    data = await graph.data(
        """mutation ($e: PostEntryInput!) {
             a: postEntry(input: $e) { ... on EntryPosted { replayed entry { sequence reversedBy { sequence } ledger { lastSequence } } } }
             b: postEntry(input: $e) { ... on EntryPosted { replayed entry { sequence } } }
             c: reverseEntry(input: {ledger: "us", sequence: 1, idempotencyKey: "r1", effectiveDate: "2026-03-16"}) {
               ... on EntryPosted { entry { sequence description reverses { sequence reversedBy { sequence } } lines { debit credit } } } }
             d: updateLedger(input: {code: "us", name: "New"}) { ... on LedgerSaved { ledger { name } } } }""",
        {"e": entry("k1")},
    )
    assert data["a"] == {"replayed": False, "entry": {"sequence": 1, "reversedBy": None, "ledger": {"lastSequence": 1}}}
    assert data["b"] == {"replayed": True, "entry": {"sequence": 1}}
    assert data["c"]["entry"]["reverses"] == {"sequence": 1, "reversedBy": {"sequence": 2}}
    assert data["c"]["entry"]["description"] == "Reversal of entry 1"
    assert data["c"]["entry"]["lines"][0] == {"debit": "0.00", "credit": "10.00"}
    assert data["d"]["ledger"]["name"] == "New"


@pytest.mark.parametrize(("variables", "literal"), [
    ({"a": "10.00"}, None), ({"a": 10}, None), (None, "10"), (None, "10.00"), (None, '"10.0"'), (None, "10.0000"),
])  # fmt: skip
async def test_amounts_are_exact_as_variables_and_literals(graph: Graph, variables, literal):
    """Every exact form of an amount is the same amount."""
    query = """mutation (DECL) { postEntry(input: {ledger: "us", idempotencyKey: "k", effectiveDate: "2026-01-01",
      description: "d", lines: [{account: "1000", debit: A}, {account: "4000", credit: A}]}) {
        __typename ... on EntryPosted { entry { total } } } }"""
    query = query.replace(" (DECL)", " ($a: Decimal!)" if variables else "").replace(
        ": A", ": $a" if variables else f": {literal}"
    )
    data = await graph.data(query, variables)
    assert data["postEntry"] == {"__typename": "EntryPosted", "entry": {"total": "10.00"}}


@pytest.mark.parametrize(("variables", "literal"), [
    ({"a": 10.5}, None), ({"a": "1e2"}, None), ({"a": "+1"}, None), ({"a": " 1"}, None), ({"a": "NaN"}, None),
    ({"a": "1."}, None), ({"a": ".5"}, None), ({"a": "١"}, None), ({"a": True}, None), ({"a": "1" * 41}, None),
    (None, "1e2"), (None, "true"), (None, '"1_0"'), (None, "1.5e0"),
])  # fmt: skip
async def test_inexact_amounts_are_refused(graph: Graph, variables, literal):
    """JSON floats, exponents, blanks and foreign digits never become an amount."""
    query = 'query (DECL) { entries(ledger: "us", filter: {minTotal: A}) { totalCount } }'
    query = query.replace("(DECL)", "($a: Decimal!)" if variables else "").replace(
        ": A", ": $a" if variables else f": {literal}"
    )
    answer = await graph.run(query, variables)
    assert answer["refused"] == 400
    assert answer["errors"][0]["extensions"]["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")


async def test_nul_in_a_filter_is_a_typed_error(graph: Graph):
    """PostgreSQL has no NUL in texts; asking for one says so."""
    for query in (
        '{ entries(ledger: "us", filter: {reference: "\\u0000"}) { totalCount } }',
        '{ entries(ledger: "us", filter: {dimension: {name: "a", value: "\\u0000"}}) { totalCount } }',
        '{ accounts(ledger: "us", filter: {codes: ["\\u0000"]}) { totalCount } }',
        '{ account(ledger: "us", code: "\\u0000") { id } }',
    ):
        answer = await graph.run(query)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT", query
    unknown = await graph.run('{ ledger(code: "\\u0000") { id } node(id: "entry:us:1\\u0000") { id } }')
    assert unknown["data"] == {"ledger": None, "node": None}


async def test_introspection_and_typename_stand_beside_data(graph: Graph):
    """Introspection is merged into an operation's answer, variables included."""
    data = await graph.data(
        "query ($n: String!) { __typename __type(name: $n) { name fields { name } } ledgers { __typename code } }",
        {"n": "PageInfo"},
    )
    assert data["__typename"] == "Query"
    assert {field["name"] for field in data["__type"]["fields"]} == {
        "hasNextPage",
        "hasPreviousPage",
        "startCursor",
        "endCursor",
    }
    assert data["ledgers"] == [{"__typename": "Ledger", "code": "us"}]


async def test_skip_and_include_choose_at_request_time(graph: Graph):
    """One document, planned per setting of its switches."""
    query = "query ($s: Boolean!, $i: Boolean!) { ledgers { code @skip(if: $s) name @include(if: $i) } }"
    assert await graph.data(query, {"s": False, "i": False}) == {"ledgers": [{"code": "us"}]}
    assert await graph.data(query, {"s": True, "i": True}) == {"ledgers": [{"name": "US"}]}
    assert await graph.data(query, {"s": True, "i": False}) == {"ledgers": [{}]}


async def test_a_costly_document_is_refused_before_it_runs(graph: Graph):
    """Pages of pages that would give millions of values are LIMIT_EXCEEDED."""
    query = (
        "{ "
        + " ".join(
            f'a{n}: entries(ledger: "us", first: 1000) {{ nodes {{ lines {{ account {{ balances {{ net }} }} }} }} }}'
            for n in range(90)
        )
        + " }"
    )
    answer = await graph.run(query)
    assert answer["refused"] == 400
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_endless_number_literals_are_refused(graph: Graph):
    """A literal of thousands of digits is a limit, not a fault."""
    for text in ("9" * 5000, "-" + "9" * 101, "1." + "0" * 200):
        answer = await graph.run(f'{{ accounts(ledger: "us", first: {text}) {{ totalCount }} }}')
        assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_plans_are_kept_within_bounds(graph: Graph):
    """Many long documents leave no more than the bound behind."""
    for n in range(700):
        await graph.data(f"{{ ledgers {{ code }} }} # {n} {'x' * 2000}")
    assert graph.engine._planned_characters <= 1_048_576
    assert graph.engine._planned_characters == sum(len(text) for text, _ in graph.engine._planned)


async def test_a_document_s_variants_are_kept_within_the_same_bounds(graph: Graph):
    """Each setting of its switches is a plan of its own, and counts as one; the plan of the first run makes way for the one
    that keeps texts."""
    switches = ["a", "b", "c", "d", "e"]
    given = ", ".join(f"${name}: Boolean!" for name in switches)
    fields = " ".join(f"{name}: code @include(if: ${name})" for name in switches)
    query = f"query ({given}) {{ ledgers {{ code {fields} }} }} # {'x' * 40_000}"
    await graph.data(f"{{ ledgers {{ code }} }} # {'y' * 40_000}")
    for number in range(64):
        await graph.data(query, {name: bool(number >> place & 1) for place, name in enumerate(switches)})
    engine = graph.engine
    assert engine._planned_characters <= 1_048_576
    assert engine._planned_characters == sum(planned.characters for planned in engine._planned.values())
    assert not any(text.startswith("{ ledgers { code } } # y") for text, _ in engine._planned)
    once = "{ ledgers { name } }"
    for _ in range(3):
        await graph.data(once)
    assert [key[0] for key in engine._planned[once, None].plans] == [True]


async def test_more_operations_than_connections_never_wait_for_each_other(graph: Graph):
    """Each holds its snapshot while it asks which ledgers there are; all of them come to an end."""
    query = (
        '{ a: entries(ledger: "us") { totalCount } ledgers { code } b: ledger(code: "none") { code } sources { name } }'
    )
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*[graph.run(query) for _ in range(40)])
    assert all("errors" not in answer for answer in answers)


async def test_a_document_of_any_length_is_refused_before_it_is_read(graph: Graph):
    """One long string or comment has few tokens; its characters are counted, at their limit and one beyond."""
    for filled in ('{{ ledger(code: "{}") {{ code }} }}', "{{ ledgers {{ code }} }} # {}"):
        room = 100_000 - len(filled.format(""))
        assert "errors" not in await graph.run(filled.format("x" * room))
        answer = await graph.run(filled.format("x" * (room + 1)))
        assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
