"""/metrics and the logs: what is counted, what is told, and what is never told."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from typing import Any

import asyncpg
import pytest
import structlog
from prometheus_client import Gauge
from websockets.asyncio.client import connect

from gateway import logs
from gateway.metrics import Metrics
from tests.gateway.toy import ToyEngine, token, toy_app


async def scraped(client: Any) -> dict[str, float]:
    async with client.session.get(client.url + "/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        lines = (await response.text()).splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


async def test_operations_are_counted(client: Any) -> None:
    """By transport, kind, outcome and code; each once."""
    await client.post({"query": "{ hello }"})
    await client.post({"query": "mutation { add }"})
    await client.post({"query": "{"})
    await client.post(b"1")
    await client.post({"query": "{ down }"})
    await client.post({"query": "{ hello }"}, authorization="Bearer x")
    found = await scraped(client)

    def count(kind: str, outcome: str, code: str = "") -> float:
        labels = f'code="{code}",kind="{kind}",outcome="{outcome}",transport="http"'
        return found[f"ledgergraph_requests_total{{{labels}}}"]

    assert count("query", "ok") == 1
    assert count("mutation", "ok") == 1
    assert count("unknown", "refused", "GRAPHQL_PARSE_FAILED") == 1
    assert count("unknown", "refused", "BAD_REQUEST") == 1
    assert count("unknown", "refused", "UNAUTHENTICATED") == 1
    assert count("query", "failed", "DATABASE_UNAVAILABLE") == 1
    assert found['ledgergraph_request_seconds_count{kind="query",transport="http"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("ledgergraph_requests_total")) == 6


async def test_sockets_and_subscriptions_are_gauged(client: Any) -> None:
    """Open ones count while they are open."""
    async with connect(client.websocket, subprotocols=["graphql-transport-ws"]) as ws:  # type: ignore[list-item]
        await ws.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token()}"}}))
        await ws.send(
            json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "subscription { flood(size: 1) }"}})
        )
        for _ in range(2):
            await ws.recv()
        found = await scraped(client)
        assert found["ledgergraph_open_sockets"] == 1
        assert found['ledgergraph_active_subscriptions{transport="websocket"}'] == 1
    await asyncio.wait_for(client.engine.stream_ended.wait(), 5)


def test_other_parts_register_their_collectors() -> None:
    metrics = Metrics()
    gauge = Gauge("ledgergraph_posting_queue", "Drafts that wait.", registry=None)
    gauge.set(7)
    metrics.register(gauge)
    assert b"ledgergraph_posting_queue 7.0" in metrics.render()


def test_two_applications_count_apart() -> None:
    """No registry is shared, so that two may live in one process."""
    first, second = toy_app(ToyEngine()), toy_app(ToyEngine())
    first.metrics.count("http", "query", "ok")
    assert b'kind="query"' not in second.metrics.render()


@pytest.fixture
def stream() -> io.StringIO:
    """Where the process's logs go during a test."""
    found = io.StringIO()
    logs.configure("info", found)
    return found


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_logs_are_json_with_the_request_id(stream: io.StringIO, client: Any) -> None:
    """The id that the client gets is the one that every line of its request has, also of other libraries' loggers."""
    await client.post({"query": "{ boom }"}, x_request_id="find-me")
    found = [line for line in lines(stream) if line.get("request_id") == "find-me"]
    assert [line["event"] for line in found] == ["internal error", "request"]
    assert "RuntimeError" in found[0]["exception"]
    assert found[1]["status"] == 200
    logs.REQUEST_ID.set("elsewhere")
    logging.getLogger("somebody").warning("careful: %s", "x")
    last = lines(stream)[-1]
    assert (last["event"], last["level"], last["request_id"]) == ("careful: x", "warning", "elsewhere")


async def test_secrets_are_never_logged(stream: io.StringIO, client: Any) -> None:
    """Neither a token that was sent, nor what is logged under a telling name, nor a password in an address."""
    good = token()
    await client.post({"query": "{ hello }"}, authorization=f"Bearer {good}")
    await client.post({"query": "{ hello }"}, authorization=f"Bearer {good}x")
    log = structlog.get_logger("test")
    log.info("called with", authorization=good, headers=f"Authorization: Bearer {good}")
    logging.getLogger("x").error("cannot connect to postgresql://owner:hunter2@db/books with %s", good)
    assert good not in stream.getvalue()
    assert good.split(".")[2] not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_the_database_quotes_is_not_logged(terminal: bool, owner_url: str) -> None:
    """Neither the row that it refuses nor the value: what it was, and where, is."""
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    logs.configure("info", stream)
    connection = await asyncpg.connect(owner_url)
    await connection.execute("CREATE TEMP TABLE person (name text CONSTRAINT no_byron CHECK (name !~ 'Byron'))")
    for statement in ("INSERT INTO person VALUES ('Ada Byron')", "SELECT 'Ada Byron'::bigint"):
        try:
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as fault:
                raise RuntimeError("it was not stored") from fault
        except RuntimeError:
            structlog.get_logger("test").exception("one")
            logging.getLogger("other").exception("two")
    await connection.close()
    told = stream.getvalue()
    assert told.count("RuntimeError: it was not stored") == 4
    assert "no_byron" in told
    assert told.count("SQLSTATE 22P02") == 2
    assert "Byron'" not in told
    assert "Ada" not in told


def test_anything_can_be_logged(stream: io.StringIO) -> None:
    """What JSON or UTF-8 cannot hold is written in another way, not lost."""
    log = structlog.get_logger("test")
    log.info("odd", text="\ud800", number=2**80, thing=object(), nothing=float("nan"))
    [line] = lines(stream)
    assert "d800" in line["text"]
    assert str(2**80) in str(line["number"])


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        logs.configure("loud")


async def test_a_terminal_gets_columns() -> None:
    """A person reads columns, not JSON."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    logs.configure("info", terminal)
    structlog.get_logger("test").info("hello", token="abc")
    assert "hello" in terminal.getvalue()
    assert "abc" not in terminal.getvalue()
    with contextlib.suppress(json.JSONDecodeError):
        pytest.fail(str(json.loads(terminal.getvalue())))
