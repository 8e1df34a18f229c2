"""Sources: invoices as they are at their source now, through HTTP, asked of `ledgergraph serve` and of Hive Gateway."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import orjson

from benchmarks.billing import KEY
from benchmarks.books import LEDGER, seed
from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import bars, claim, figures
from benchmarks.load import Result
from benchmarks.measuring import Samples, take_turns
from benchmarks.peers import installed
from benchmarks.processes import Generator, gateway, generator, serving
from benchmarks.tables import rate, ratio, table, times
from gateway.authentication import issue_token
from gateway.config import Settings
from gateway.openbooks import books
from gateway.tokens import signing_secret, token_rules

CLIENTS = 16
DELAYS = (0.0, 0.02)
"""Seconds that the source keeps each of its answers back."""
OURS, HIVE, SHARING = "ledgergraph", "Hive Gateway", "Hive Gateway, sharing"
_WARMING = 4.0
_CHANGES = 5
_SETTINGS: Mapping[str, Mapping[str, Any]] = {HIVE: {}, SHARING: {"inboundInflightRequestDeduplication": True}}
_SOURCE = """
[[sources]]
name = "billing"
kind = "stripe"
ledger = "{ledger}"
base_url = "http://127.0.0.1:{port}"
api_key = "env:BILLING_KEY"
"""
_QUERIES = {
    OURS: "{ invoices(first: 20, maxAge: 0) { nodes { externalId number status currency issueDate dueDate total amountDue "
    "party { externalId name } } freshness { stale } } }",
    HIVE: "{ invoices(limit: 20) { data { id number status currency effective_at due_date total amount_remaining "
    "party { id name } } } }",
}
_MARK = '"number":"'


_BODY = f"""\
20 invoices with their customers (id, number, status, currency, dates, amounts; the customer's id and name), {CLIENTS} clients through
HTTP, the contestants in turns. The source is a billing system in a process of its own (`benchmarks/billing.py`), Stripe-shaped,
with 500 invoices. Before and after the timing all gave the same answer, also {_CHANGES} times right after an invoice was paid.

{{table}}
What each does, and what it promises:

- `ledgergraph` is asked with `maxAge: 0`: an incremental pull of the source (its events and its new invoices) that begins after the
  request arrived, shared by all who wait for the same, then a read of the mirror. Authentication and limits are on.
- `Hive Gateway` asks the source for each request: one call for the invoices, one for all their customers (the source gives several
  customers at once for it). Supergraph by Mesh Compose, production settings, JIT on, no cache, no authentication.
- `Hive Gateway, sharing` has `inboundInflightRequestDeduplication` on besides: equal requests share one execution. That is less than the
  others promise: who comes while it goes on gets what was asked of the source before.

The source states no changes while it is measured: a pull that finds changes reads them one by one. At a source that takes its time
our pulls follow one another, so a request waits for the rest of the one under way and for its own.
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The source's port, and those of the contestants, by name."""

    source: int
    ports: Mapping[str, int]
    load: Generator
    session: aiohttp.ClientSession

    async def tell(self, method: str, path: str) -> Any:
        """Asks the source itself."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self.session.request(method, f"http://127.0.0.1:{self.source}{path}", headers=headers) as response:
            response.raise_for_status()
            return await response.json()

    async def invoices(self, name: str) -> list[Any]:
        """What a contestant says now, in the source's words, timestamps as days. Raises RuntimeError when it is not an answer."""
        answer = await self.load.ask(self.ports[name], _body(name))
        found = orjson.loads(answer)
        if "errors" in found or answer.count(_MARK.encode()) != 20:
            raise RuntimeError(f"{name} answers {answer[:2_000]!r}")
        invoices = found["data"]["invoices"]
        if name != OURS:
            return [
                {**each, "effective_at": _day(each["effective_at"]), "due_date": _day(each["due_date"])}
                for each in invoices["data"]
            ]
        if [each["stale"] for each in invoices["freshness"]] != [False]:
            raise RuntimeError(f"{name} answers from a stale copy: {answer[-500:]!r}")
        return [_as_stated(each) for each in invoices["nodes"]]


@dataclass(frozen=True, slots=True)
class Answers:
    """By contestant: answers a second, calls of the source for each answer, the last round's times."""

    rates: Mapping[str, Samples]
    calls: Mapping[str, Samples]
    last: Mapping[str, Result]


@asynccontextmanager
async def stage(bench: Bench) -> AsyncIterator[Stage]:
    """The source and all contestants. Raises Unavailable."""
    peer = await installed(bench, "hive")
    settings = Settings(data_dir=bench.directory / "sources")
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(books(settings))
        await seed(opened, 10, 10, lambda _: None)
        source = await stack.enter_async_context(
            serving([sys.executable, "-m", "benchmarks.billing"], bench.directory / "billing.log")
        )
        file = bench.directory / "billing.toml"
        file.write_text(_SOURCE.format(ledger=LEDGER, port=source))
        ports = {
            OURS: await stack.enter_async_context(
                serving(
                    gateway(settings.data_dir, file), file.with_suffix(".ours.log"), environment={"BILLING_KEY": KEY}
                )
            )
        }
        for name, more in _SETTINGS.items():
            command = [str(peer.node), str(peer.home / "server.mjs"), f"http://127.0.0.1:{source}", KEY]
            log = bench.directory / f"{name}.log"
            ports[name] = await stack.enter_async_context(
                serving([*command, orjson.dumps(more).decode()], log, environment={"NODE_ENV": "production"})
            )
        token = issue_token(
            signing_secret(settings), subject=LEDGER, scopes=["ledger:read", "invoices:read"], ledgers=[LEDGER],
            ttl=3600, rules=token_rules(settings),
        )  # fmt: skip
        load = await stack.enter_async_context(generator(token))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Stage(source, ports, load, session)


async def equal_and_fresh(stage: Stage) -> None:
    """Whether all say the same, also right after the newest invoice changed. Raises RuntimeError."""
    for _ in range(_CHANGES):
        said = {name: await stage.invoices(name) for name in stage.ports}
        for name, invoices in said.items():
            if invoices != said[OURS]:
                raise RuntimeError(f"{OURS} and {name} answer differently: {said[OURS][:1]} and {invoices[:1]}")
        changed = next(each["id"] for each in said[OURS] if each["status"] == "open")
        await stage.tell("POST", f"/v1/invoices/{changed}/pay")
        for name in stage.ports:
            if [each["status"] for each in await stage.invoices(name) if each["id"] == changed] != ["paid"]:
                raise RuntimeError(f"{name} does not know yet that {changed} was paid before it was asked")


async def ask_all(stage: Stage, delay: float, rounds: int, seconds: float, warming: float) -> Answers:
    """The turns of all contestants while the source keeps each answer back for `delay` seconds."""
    await stage.tell("POST", f"/delay?seconds={delay}")
    calls = {name: Samples() for name in stage.ports}
    last: dict[str, Result] = {}

    async def turn(name: str, seconds: float = seconds) -> float:
        before = await stage.tell("GET", "/calls")
        last[name] = found = await stage.load.run(
            stage.ports[name], clients=CLIENTS, seconds=seconds, bodies=[_body(name)], marker=_MARK, times=20
        )
        calls[name].values.append((await stage.tell("GET", "/calls") - before) / found.all_answers)
        return found.answers / found.seconds

    for name in stage.ports:
        await turn(name, warming)
        calls[name].values.clear()
    rates = await take_turns({name: partial(turn, name) for name in stage.ports}, rounds)
    return Answers(rates, calls, last)


async def measure(bench: Bench) -> Chapter:
    """Raises Unavailable without Hive Gateway."""
    found: dict[float, Answers] = {}
    async with stage(bench) as contestants:
        await equal_and_fresh(contestants)
        for delay in DELAYS:
            bench.tell(f"sources: 20 invoices, {CLIENTS} clients, the source takes {delay * 1000:.0f} ms")
            warming = bench.seconds if bench.quick else max(_WARMING, bench.seconds)
            found[delay] = await ask_all(contestants, delay, bench.rounds, bench.seconds, warming)
        await contestants.tell("POST", "/delay?seconds=0")
        await equal_and_fresh(contestants)
    return Chapter("Invoices as they are at their source now", _BODY.format(table=_table(found)), _figures(found))


def _table(found: Mapping[float, Answers]) -> str:
    header = ["source's answer takes", "contestant", "answers/s", "ours to it", "calls for an answer", "p50, p99 in ms"]
    rows = []
    for delay, answers in found.items():
        for name, rates in answers.rates.items():
            over = "" if name == OURS else ratio(answers.rates[OURS].over(rates))
            cells = [f"{delay * 1000:.0f} ms", name, rate(rates), over, f"{answers.calls[name].median:.2f}"]
            rows.append([*cells, times(answers.last[name])])
    return table(header, rows)


def _figures(found: Mapping[float, Answers]) -> dict[str, Any]:
    claims, shown = [], []
    for delay, answers in found.items():
        told = f"20 invoices with their customers, maxAge 0, from a source that answers in {delay * 1000:.0f} ms"
        for peer, rates in answers.rates.items():
            if peer != OURS:
                set_here = {"reach": 3.0, "aim": "5×"} if peer == HIVE and not delay else {}
                claims.append(claim("Q5", told, peer, answers.rates[OURS].over(rates), **set_here))
        shown.append(bars(f"Q5: {told}", "answers/s", answers.rates))
    return figures(claims=claims, bars=shown)


def _body(name: str) -> str:
    return orjson.dumps({"query": _QUERIES[OURS if name == OURS else HIVE]}).decode()


def _as_stated(invoice: Mapping[str, Any]) -> dict[str, Any]:
    """One of our invoices in the source's words: minor units; days stay days."""
    return {
        "id": invoice["externalId"],
        "number": invoice["number"],
        "status": invoice["status"].lower(),
        "currency": invoice["currency"].lower(),
        "effective_at": invoice["issueDate"],
        "due_date": invoice["dueDate"],
        "total": _cents(invoice["total"]),
        "amount_remaining": _cents(invoice["amountDue"]),
        "party": {"id": invoice["party"]["externalId"], "name": invoice["party"]["name"]},
    }


def _cents(amount: str) -> int:
    whole, cents = amount.split(".")
    return int(whole + cents)


def _day(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
