"""Amounts are exact in every channel: what goes in by variables, literals or a file comes out of answers, SQL and the stream."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.importing import post_file, read_file
from sources.money import EXPONENTS, MAX_MINOR
from tests.graph import Graph, open_graph

CURRENCIES = {"USD": 2, "JPY": 0, "BHD": 3}
READ = """query ($last: Int) { entries(ledger: "us", last: $last) { nodes { idempotencyKey total lines {
  debit credit currency functionalDebit functionalCredit } } } }"""
STREAM = """subscription ($after: String) { postings(ledger: "us", after: $after) { entry { sequence idempotencyKey total
  lines { debit credit currency functionalDebit functionalCredit } } } }"""
POST = '{{ ledger: "us", idempotencyKey: {key}, effectiveDate: "2026-03-15", description: "exact", lines: [{lines}] }}'


@dataclass(frozen=True)
class Amount:
    """An amount in minor units, with how it is written: 0 as the currency has it, 1 without ending zeros, 2 with more."""

    minor: int
    currency: str
    style: int

    @property
    def canonical(self) -> str:
        """As answers must give it, by Decimal's own arithmetic."""
        exponent = CURRENCIES[self.currency]
        return f"{Decimal(self.minor).scaleb(-exponent):.{exponent}f}"

    @property
    def text(self) -> str:
        if self.style == 1 and "." in self.canonical:
            return self.canonical.rstrip("0").rstrip(".")
        if self.style == 2:
            return "00" + self.canonical + ("000" if "." in self.canonical else ".00")
        return self.canonical

    @property
    def json(self) -> Any:
        """A JSON integer where it may be one."""
        return int(self.text) if self.style == 1 and "." not in self.text else self.text

    @property
    def literal(self) -> str:
        """A number literal where GraphQL's grammar allows it."""
        return self.text if self.style < 2 else f'"{self.text}"'


@dataclass(frozen=True)
class Case:
    """A debit and a credit of one amount; `functional`: the same in USD."""

    amount: Amount
    functional: Amount

    def line(self, account: str, side: str, form: str) -> dict[str, Any]:
        line = {"account": account, side: getattr(self.amount, form), "currency": self.amount.currency}
        foreign = self.amount.currency != "USD"
        return line | ({"functionalAmount": getattr(self.functional, form)} if foreign else {})

    def expected(self) -> dict[str, Any]:
        """An entry as it must be answered."""
        booked = self.amount if self.amount.currency == "USD" else self.functional
        nothing, none = Amount(0, self.amount.currency, 0).canonical, Amount(0, "USD", 0).canonical
        debit = {
            "debit": self.amount.canonical,
            "credit": nothing,
            "functionalDebit": booked.canonical,
            "functionalCredit": none,
        }
        credit = {
            "debit": nothing,
            "credit": self.amount.canonical,
            "functionalDebit": none,
            "functionalCredit": booked.canonical,
        }
        lines = [{**line, "currency": self.amount.currency} for line in (debit, credit)]
        return {"total": booked.canonical, "lines": lines}


def minors() -> st.SearchStrategy[int]:
    """Beyond what a float holds, too."""
    edges = st.sampled_from([1, 9, 10, 99, 100, 999, 1000, 2**53 + 1, MAX_MINOR - 1, MAX_MINOR])
    return st.one_of(st.integers(1, MAX_MINOR), st.integers(1, 10**5), edges.map(lambda minor: min(minor, MAX_MINOR)))


def amounts(currencies: Sequence[str]) -> st.SearchStrategy[Amount]:
    return st.builds(Amount, minors(), st.sampled_from(currencies), st.integers(0, 2))


CASES = st.lists(st.builds(Case, amounts(list(CURRENCIES)), amounts(["USD"])), min_size=1, max_size=25)


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


BATCHES = itertools.count()


@settings(
    max_examples=20, deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(cases=CASES)
async def test_every_channel_gives_back_what_went_in(
    graph: Graph, database_url: str, tmp_path: Path, cases: list[Case]
) -> None:
    batch = f"b{next(BATCHES)}"
    cursor = (await graph.data('{ ledger(code: "us") { postingCursor } }'))["ledger"]["postingCursor"]
    await by_variables(graph, batch, cases)
    await by_literals(graph, batch, cases)
    await by_file(graph, batch, cases, tmp_path)
    keys = [f"{batch}{channel}:{number}" for channel in ("v", "l", "f") for number in range(len(cases))]
    expected = dict(zip(keys, [case.expected() for case in cases] * 3, strict=True))
    answered = (await graph.data(READ, {"last": len(keys)}))["entries"]["nodes"]
    assert {entry.pop("idempotencyKey"): entry for entry in answered} == expected
    assert await by_stream(graph, cursor, len(keys)) == expected
    minor = [case.amount.minor for case in cases] * 3
    assert await by_sql(database_url, batch) == dict(zip(keys, minor, strict=True))


async def by_variables(graph: Graph, batch: str, cases: list[Case]) -> None:
    results = await graph.post(*[
        {
            "ledger": "us", "idempotencyKey": f"{batch}v:{number}", "effectiveDate": "2026-03-15", "description": "exact",
            "lines": [case.line("1000", "debit", "json"), case.line("4000", "credit", "json")],
        }
        for number, case in enumerate(cases)
    ])  # fmt: skip
    assert {result["__typename"] for result in results} == {"EntryPosted"}, results


async def by_literals(graph: Graph, batch: str, cases: list[Case]) -> None:
    entries = []
    for number, case in enumerate(cases):
        lines = [case.line("1000", "debit", "literal"), case.line("4000", "credit", "literal")]
        entries.append(POST.format(key=json.dumps(f"{batch}l:{number}"), lines=", ".join(map(written, lines))))
    outcome = await graph.data(
        f"mutation {{ postEntries(input: {{entries: [{' '.join(entries)}]}}) {{ results {{ __typename }} }} }}"
    )
    assert {result["__typename"] for result in outcome["postEntries"]["results"]} == {"EntryPosted"}


def written(line: dict[str, Any]) -> str:
    """A line as a GraphQL literal; its amounts already are."""
    texts = {name: json.dumps(value) if name in ("account", "currency") else value for name, value in line.items()}
    return f"{{{', '.join(f'{name}: {text}' for name, text in texts.items())}}}"


async def by_file(graph: Graph, batch: str, cases: list[Case], folder: Path) -> None:
    rows = ["entry,date,description,account,debit,credit,currency,functional_amount"]
    for number, case in enumerate(cases):
        functional = "" if case.amount.currency == "USD" else case.functional.text
        currency = case.amount.currency
        rows.append(f"{number},2026-03-15,exact,1000,{case.amount.text},,{currency},{functional}")
        rows.append(f"{number},2026-03-15,exact,4000,,{case.amount.text},{currency},{functional}")
    file = folder / "exact.csv"
    file.write_text("\n".join(rows) + "\n")
    ledger = (await graph.services.directory.resolve(["us"]))["us"]
    with read_file(file) as found:
        summary = await post_file(
            graph.services.poster, ledger, found, f"{batch}f", "import", atomic=False, progress=lambda _: None
        )
    assert (summary.posted, summary.refusals) == (len(cases), [])


async def by_stream(graph: Graph, cursor: str, count: int) -> dict[str, Any]:
    stream = graph.stream(STREAM, {"after": cursor})
    found = {}
    for _ in range(count):
        posted = json.loads(await anext(stream))["data"]["postings"]["entry"]
        found[posted["idempotencyKey"]] = {"total": posted["total"], "lines": posted["lines"]}
    await stream.aclose()
    return found


async def by_sql(url: str, batch: str) -> dict[str, int]:
    """The debit of each entry in minor units, as stored; the credit is the same on the other side."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET ledgergraph.ledgers = '*'")
    rows = await connection.fetch(
        "SELECT idempotency_key, array_agg(amount ORDER BY line_number) AS amounts FROM ledger.entry "
        "JOIN ledger.line USING (ledger_id, sequence) WHERE idempotency_key ~ ('^' || $1 || '[vlf]:') GROUP BY 1",
        batch,
    )
    await connection.close()
    assert all(row["amounts"][0] == -row["amounts"][1] for row in rows)
    return {row["idempotency_key"]: row["amounts"][0] for row in rows}


def test_the_currencies_are_the_standard_s() -> None:
    assert {currency: EXPONENTS[currency] for currency in CURRENCIES} == CURRENCIES


async def test_balances_and_thresholds_are_exact_beyond_floats(graph: Graph) -> None:
    """Sums of the largest amounts, and a filter at the last digit."""
    largest = [Case(Amount(MAX_MINOR - n, "USD", 0), Amount(1, "USD", 0)) for n in range(20)]
    await by_variables(graph, "max", largest)
    data = await graph.data(
        """query ($least: Decimal) { account(ledger: "us", code: "1000") { balances { net } functionalBalance }
           trialBalance(ledger: "us") { totalDebit } entries(ledger: "us", filter: {minTotal: $least}) { totalCount } }""",
        {"least": Amount(MAX_MINOR - 9, "USD", 0).canonical},
    )
    total = Amount(sum(case.amount.minor for case in largest), "USD", 0).canonical
    assert data["account"] == {"balances": [{"net": total}], "functionalBalance": total}
    assert data["trialBalance"] == {"totalDebit": total}
    assert data["entries"] == {"totalCount": 10}
