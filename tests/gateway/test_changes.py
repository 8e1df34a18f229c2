"""Between two runs of the same documents everything changes that can: each answer is what graph-core would read now.

Three engines over one database, as the processes of one gateway are, keep what they may; a change goes through one of them,
while all of them answer, and all see it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.requests import GraphQLRequest, RequestRefused
from sources.caller import Caller
from sources.documents import Deletion
from tests.documents import Document, Documents
from tests.examples import examples
from tests.graph import SCHEMA, Graph, entry, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.world import CALLERS, LIMITS, POOLS, keep_books, link_documents, read_sources, sources

STEPS = 12
AT_ONCE = 6
"""Documents that run before, during and after one change."""
SMALL = replace(LIMITS, answer_cache_bytes=20_000, fragment_cache_bytes=20_000)
ENGINES = (LIMITS, replace(LIMITS, answer_cache_bytes=0), SMALL)
LEDGERS = ("us", "eu")
ENTRY = "id description ledger { name lockedThrough lastSequence } reversedBy { sequence lines { account { name } } }"
LINES = "lines { debit description account { code name active parent { name ledger { name } } } }"
MEMBERS = f"""... on JournalEntry {{ {ENTRY} {LINES} }} ... on JournalLine {{ account {{ name }} entry {{ description }} }}
  ... on Account {{ name active }} ... on Ledger {{ name lockedThrough postingCursor }}"""
WRITTEN = (
    f'{{ entries(ledger: "us", last: 9) {{ totalCount nodes {{ {ENTRY} {LINES} }} }} }}',
    f'{{ entries(ledger: "us", orderBy: EFFECTIVE_DATE_DESC) {{ edges {{ cursor node {{ {LINES} documents {{ id }} }} }} }} }}',
    f'{{ entry(ledger: "us", sequence: 1) {{ {ENTRY} {LINES} }} us: entry(ledger: "eu", sequence: 1) {{ {ENTRY} {LINES} }} }}',
    f'{{ nodes(ids: ["entry:us:1", "line:us:2:1", "account:us:1000", "ledger:us"]) {{ id {MEMBERS} }} }}',
    '{ account(ledger: "us", code: "1000") { name active functionalBalance(asOf: "2026-02-01") balances { currency net } } }',
    '{ accounts(ledger: "us") { totalCount nodes { code name active parent { code name } functionalBalance } } }',
    '{ accounts(ledger: "eu", filter: {active: true}) { nodes { name } } }',
    '{ trialBalance(ledger: "us", from: "2026-01-01", to: "2026-03-31") { sequence rows { account { name } opening closing } } }',
    '{ trialBalance(ledger: "eu") { ledger { name lastSequence lockedThrough } totalDebit totalCredit } }',
    '{ journalLines(ledger: "us", last: 5) { nodes { id account { name } entry { description reversedBy { id } ledger { name } } } } }',
    "{ ledgers { code name lastSequence lockedThrough postingCursor } }",
    '{ invoices(filter: {sources: ["stripe"]}) { totalCount nodes { id total number entries { id lines { account { name } } } } } }',
    "{ bankAccounts { nodes { id ledger { name } transactions { totalCount nodes { amount } } } } }",
    'query ($d: Date = "2026-03-15") { account(ledger: "us", code: "4000") { name functionalBalance(asOf: $d) } }',
)
GENERATED = Documents(SCHEMA, {**POOLS, "ledger": ["us", "us", "us", "eu"], "maxAge": [10**8]})


@dataclass
class Site:
    """Engines over one database; `plain` reads for the reference and keeps nothing itself."""

    engines: list[Graph]
    plain: Graph
    owner: asyncpg.Connection[Any]
    scripts: dict[str, Script]
    count: int = 0
    history: list[str] = field(default_factory=list)

    def any(self, chance: Random) -> Graph:
        return chance.choice(self.engines)

    def fresh(self) -> int:
        self.count += 1
        return self.count


@pytest.fixture
async def site(database_url: str, owner_url: str) -> AsyncIterator[Site]:
    configured = sources()
    scripts = {settings.name: script for settings, script in configured}
    async with AsyncExitStack() as stack:
        graphs = [
            await stack.enter_async_context(open_graph(database_url, limits, sources=configured))
            for limits in (*ENGINES, replace(LIMITS, answer_cache_bytes=0, fragment_cache_bytes=0))
        ]
        await keep_books(graphs[0])
        await read_sources(graphs[0])
        await link_documents(owner_url)
        owner = await asyncpg.connect(owner_url)
        stack.push_async_callback(owner.close)
        await owner.execute("SET ledgergraph.ledgers = '*'")
        yield Site(graphs[:-1], graphs[-1], owner, scripts)


# ---------------------------------------------------------------- changes

Change = Callable[[Site, Random], Awaitable[None]]


async def mutate(site: Site, chance: Random, text: str, **variables: Any) -> None:
    """Through one of the engines; a refusal is a change, too: of nothing."""
    await site.any(chance).data(f"mutation{text}", variables)


def drafted(site: Site, chance: Random) -> dict[str, Any]:
    day = date(2025, 12, 1) + timedelta(days=chance.randrange(400))
    amount = f"{chance.randrange(1, 1000)}.{chance.randrange(100):02}"
    return entry(f"c{site.fresh()}", amount, ledger=chance.choice(LEDGERS), effectiveDate=str(day))


async def post(site: Site, chance: Random) -> None:
    entries = [drafted(site, chance) for _ in range(chance.choice((1, 1, 3)))]
    await mutate(
        site,
        chance,
        "($e: [PostEntryInput!]!) { postEntries(input: {entries: $e}) { results { __typename } } }",
        e=entries,
    )


async def reverse(site: Site, chance: Random) -> None:
    stated = (
        f'ledger: "{chance.choice(LEDGERS)}", sequence: {chance.randrange(1, 12)}, idempotencyKey: "r{site.fresh()}"'
    )
    await mutate(site, chance, f'{{ reverseEntry(input: {{{stated}, effectiveDate: "2026-12-31"}}) {{ __typename }} }}')


async def change_account(site: Site, chance: Random) -> None:
    number = site.fresh()
    stated = chance.choice(
        (
            f'name: "Account {number}"',
            "active: false",
            "active: true",
            'parent: "1100"',
            'parent: "3000"',
            "parent: null",
        )
    )
    code = chance.choice(("1000", "1000", "4000", "1100"))
    where = f'ledger: "{chance.choice(LEDGERS)}", code: "{code}"'
    await mutate(site, chance, f"{{ updateAccount(input: {{{where}, {stated}}}) {{ __typename }} }}")


async def add_account(site: Site, chance: Random) -> None:
    account = f'code: "N{site.fresh()}", name: "New", type: ASSET, parent: "1000"'
    ledger = chance.choice(LEDGERS)
    await mutate(
        site, chance, f'{{ createAccounts(input: {{ledger: "{ledger}", accounts: [{{{account}}}]}}) {{ __typename }} }}'
    )


async def rename_ledger(site: Site, chance: Random) -> None:
    name = f"Ledger {site.fresh()}"
    await mutate(
        site,
        chance,
        f'{{ updateLedger(input: {{code: "{chance.choice(LEDGERS)}", name: "{name}"}}) {{ __typename }} }}',
    )


async def lock(site: Site, chance: Random) -> None:
    through = chance.choice(("null", '"2025-12-31"', '"2026-01-31"'))
    await mutate(
        site,
        chance,
        f'{{ lockPeriods(input: {{ledger: "{chance.choice(LEDGERS)}", through: {through}}}) {{ __typename }} }}',
    )


async def create_ledger(site: Site, chance: Random) -> None:
    await site.any(chance).found(f"l{site.fresh()}")


async def change_documents(site: Site, chance: Random) -> None:
    """The source states something else, and one of the engines reads it: an invoice changed, came back or is gone."""
    script, number = site.scripts["stripe"], site.fresh()
    invoice = Kit.invoice("in_2", number=f"No. {number}", total=1190 + number)
    script.pages = Kit.pages([invoice], deletions=[Deletion(kind="invoice", external_id='in:1"')] if number % 2 else [])
    script.failure = None
    await site.any(chance).run("{ invoices(maxAge: 0) { totalCount } }")
    script.failure = Kit.Unavailable("it went away again.")


async def link(site: Site, chance: Random) -> None:
    """An entry and a document find each other."""
    await site.owner.execute(
        """INSERT INTO mirror.document_entry (ledger_id, source, kind, account, external_id, sequence)
           SELECT ledger_id, 'stripe', 'invoice', '', 'in_' || $1::int, 1 + $1::int FROM ledger.ledger WHERE code = 'us'
           ON CONFLICT DO NOTHING""",
        chance.randrange(2, 5),
    )


CHANGES: tuple[Change, ...] = (
    post, post, reverse, change_account, change_account, add_account, rename_ledger, lock, create_ledger, change_documents, link,
)  # fmt: skip


# ---------------------------------------------------------------- comparing


@given(seed=st.integers(0, 2**48))
@examples(4)
async def test_after_any_change_every_engine_answers_anew(site: Site, seed: int) -> None:
    """Documents run before a change, while it happens, and after it: then they say what the reference reads now, to callers
    of every claim."""
    chance = Random(seed)
    generated = [GENERATED.document(chance.randrange(2**48)) for _ in range(12)]
    documents = [*[Document(text, {}, None) for text in WRITTEN], *generated]
    for _ in range(STEPS):
        chosen = chance.sample(documents, AT_ONCE)
        for _ in range(2):
            await everywhere(site, chance, chosen)
        change = chance.choice(CHANGES)
        site.history.append(change.__name__)
        await asyncio.gather(change(site, chance), everywhere(site, chance, chosen))
        for document in chosen:
            await agree(site, document, chance.choice(CALLERS))


async def everywhere(site: Site, chance: Random, documents: list[Document]) -> None:
    for graph in site.engines:
        for document in documents:
            await answer(graph, document, chance.choice(CALLERS))


async def agree(site: Site, document: Document, by: Caller) -> None:
    """Every engine, asked once and once more, says what graphql-core finds now."""
    told = [[await answer(graph, document, by) for _ in range(2)] for graph in site.engines]
    if told[0][0] is None:
        return
    expected = await site.plain.reference.run(document.text, by, document.variables, document.operation_name)
    data = orjson.dumps(expected["data"])
    for found in told:
        for each in found:
            assert each is not None
            assert orjson.dumps(orjson.loads(each)["data"]) == data, (site.history, document, by)


async def answer(graph: Graph, document: Document, by: Caller) -> bytes | None:
    """None for a document that is refused."""
    request = GraphQLRequest(document.text, document.operation_name, document.variables, "test")
    try:
        operation = graph.engine.prepare(request, by)
    except RequestRefused:
        return None
    return await graph.engine.run(operation)
