"""Two gateway processes over one database: retries of the same keys, the stream across processes, tokens, stalled readers."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.authentication import SCOPES, issue_token, load_or_create_secret
from gateway.tokens import SECRET_FILE
from tests.proof.processes import PATIENCE, Client, Site, client, operation, sale, site
from tests.proof.watchers import PROTOCOL, over_events, over_websocket, reached, socket, subscribe, watching

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = 200
RETRIES = 20
LIMITS = "[limits]\nstall_seconds = 1\nsocket_queue = 10\n"
POSTED = """mutation ($input: PostEntryInput!) { postEntry(input: $input) { __typename
  ... on EntryPosted { replayed entry { id sequence effectiveDate postedAt postedBy description idempotencyKey total hash
    lines { id account { code } debit credit currency functionalDebit functionalCredit } } }
  ... on IdempotencyConflict { idempotencyKey sequence was: entry { hash } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Two gateways that share one data directory."""
    async with site(tmp_path_factory.mktemp("pair") / "data", gateways=2, config=LIMITS) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def talk(pair: Site) -> AsyncIterator[Client]:
    async with client(pair.token()) as opened:
        yield opened


async def last_sequence(talk: Client, url: str, code: str = "us") -> int:
    ledger = await talk.data(url, "query ($code: String!) { ledger(code: $code) { lastSequence } }", code=code)
    sequence: int = ledger["ledger"]["lastSequence"]
    return sequence


async def test_concurrent_retries_post_once(pair: Site, talk: Client) -> None:
    """Each of 200 keys is sent 20 times at once, half to either gateway: one posting each, and replies that are equal but for
    `replayed`, of which one is false. The same keys with another body are conflicts, all of them."""
    first, second = pair.gateways
    await talk.found(first.url, "retried")

    async def send(number: int, url: str, amount: str) -> dict[str, Any]:
        entry = sale(f"key {number}", amount, ledger="retried")
        outcome: dict[str, Any] = (await talk.data(url, POSTED, input=entry))["postEntry"]
        return outcome

    urls = [first.url, second.url]
    at_once = asyncio.Semaphore(5)

    async def retry(number: int) -> list[dict[str, Any]]:
        async with at_once:
            return await asyncio.gather(*[send(number, urls[n % 2], f"{number}.50") for n in range(RETRIES)])

    replies = await asyncio.gather(*[retry(number) for number in range(KEYS)])
    hashes = {}
    for number, mine in enumerate(replies):
        assert sorted(reply.pop("replayed") for reply in mine) == [False] + [True] * (RETRIES - 1)
        assert all(reply == mine[0] for reply in mine)
        assert mine[0]["entry"]["total"] == f"{number}.50"
        hashes[number] = mine[0]["entry"]["hash"]
    assert sorted(mine[0]["entry"]["sequence"] for mine in replies) == list(range(1, KEYS + 1))
    changed = await asyncio.gather(*[send(number, urls[number % 2], f"{number}.51") for number in range(KEYS)])
    for number, conflict in enumerate(changed):
        assert (conflict["__typename"], conflict["idempotencyKey"]) == ("IdempotencyConflict", f"key {number}")
        assert conflict["was"]["hash"] == hashes[number]
    assert [await last_sequence(talk, url, "retried") for url in urls] == [KEYS, KEYS]


async def test_postings_through_one_gateway_are_seen_on_the_other(pair: Site, talk: Client) -> None:
    """Live, in order, over both transports; and backlog and live are one stream for who comes later."""
    first, second = pair.gateways
    await talk.found(first.url)
    begun = await last_sequence(talk, first.url)
    elsewhere = Site(pair.data_dir, pair.config, [second])
    async with watching(elsewhere, talk.token) as watchers:
        await talk.data(first.url, POSTED, input=sale("live 0"))
        await reached(watchers, begun + 1)
        for number in range(1, 21):
            await talk.data(first.url, POSTED, input=sale(f"live {number}"))
            await reached(watchers, begun + number + 1)
        for watcher in watchers:
            assert watcher.keys[begun:] == [f"live {number}" for number in range(21)]
            assert watcher.connections == 1
    async with watching(pair, talk.token) as latecomers:
        await reached(latecomers, begun + 21)
        assert [watcher.keys for watcher in latecomers] == [watcher.keys for watcher in watchers]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_token_s_end_is_its_subscriptions_end(pair: Site, talk: Client, transport: str) -> None:
    """Within a second after it: 4403 "token expired" over WebSocket, TOKEN_EXPIRED as the last event over SSE."""
    url = pair.gateways[0].url
    await talk.found(url)
    token = pair.token(ttl=1)
    ends = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with asyncio.timeout(PATIENCE):
        if transport == "websocket":
            async with socket(url.replace("http", "ws", 1), token) as opened:
                await subscribe(opened, operation("postings"), ledger="us")
                messages, code = await closing(opened)
            assert code == (4403, "token expired")
            last = messages[-1]["payload"]
        else:
            async with aclosing(over_events(url, token, operation("postings"), ledger="us")) as payloads:
                (answer,) = [payload async for payload in payloads]
            last = answer["errors"]
    assert last[0]["extensions"]["code"] == "TOKEN_EXPIRED"
    assert ends <= time.time() < ends + 1.5


async def closing(opened: ClientConnection) -> tuple[list[dict[str, Any]], tuple[int, str]]:
    """What the server still says, and the code and reason with which it closes."""
    messages = [json.loads(message) async for message in spoken(opened)]
    assert opened.close_code is not None
    return messages, (opened.close_code, opened.close_reason or "")


async def spoken(opened: ClientConnection) -> AsyncIterator[str | bytes]:
    with suppress(ConnectionClosed):
        while True:
            yield await opened.recv()


def narrow(url: str) -> sockets.socket:
    """A connection whose own buffer holds little."""
    host, port = url.removeprefix("http://").removesuffix("/graphql").split(":")
    found = sockets.socket()
    found.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    found.connect((host, int(port)))
    found.setblocking(False)
    return found


BULKY = f"""subscription {{ postings(ledger: "bulk", after: "0") {{ cursor entry {{ sequence
  {" ".join(f"d{n}: description" for n in range(90))} }} }} }}"""
"""Some 90 kB an event: what the system's own buffers hold is soon full."""
BULK = 150


async def fill(talk: Client, url: str) -> None:
    await talk.found(url, "bulk")
    entries = [sale(f"bulk {n}", ledger="bulk", description=f"{n:03} " + "x" * 990) for n in range(BULK)]
    results = (await talk.data(url, operation("post-entries"), input={"entries": entries}))["postEntries"]["results"]
    assert {result["__typename"] for result in results} == {"EntryPosted"}


async def test_a_stalled_websocket_is_closed_and_disturbs_nobody(pair: Site, talk: Client) -> None:
    """It takes nothing while its queue is full: 4508 awaits it. Another subscriber of the same gateway gets everything
    meanwhile, a posting is answered, and the stalled one resumes behind what it received."""
    gateway = pair.gateways[0]
    await fill(talk, gateway.url)
    async with (
        asyncio.timeout(PATIENCE),
        socket(gateway.websocket, talk.token, sock=narrow(gateway.url), max_queue=1) as stalled,
    ):
        await subscribe(stalled, BULKY)
        async with aclosing(over_websocket(gateway.url, talk.token, BULKY)) as lively:
            seen = [payload async for payload, _ in taken(lively, BULK)]
        assert [sequence_of(payload) for payload in seen] == list(range(1, BULK + 1))
        await closed_sockets(talk.session, gateway.url, "4508")
        await talk.data(gateway.url, POSTED, input=sale("beside a stalled reader", ledger="bulk"))
        messages, code = await closing(stalled)
    assert code[0] == 4508
    received = [message["payload"] for message in messages]
    assert [sequence_of(payload) for payload in received] == list(range(1, len(received) + 1))
    assert 0 < len(received) < BULK
    cursor = received[-1]["data"]["postings"]["cursor"]
    query = BULKY.replace('after: "0"', f'after: "{cursor}"')
    async with asyncio.timeout(PATIENCE), aclosing(over_websocket(gateway.url, talk.token, query)) as resumed:
        assert sequence_of(await anext(resumed)) == len(received) + 1


async def test_a_stalled_event_stream_is_told_so(pair: Site, talk: Client) -> None:
    """Over SSE the last event says SLOW_CONSUMER, to be read when the reader comes back."""
    gateway = pair.gateways[1]
    await fill(talk, gateway.url)
    body = json.dumps({"query": BULKY}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {talk.token}\r\nAccept: text/event-stream\r\n"
    reader, writer = await asyncio.open_connection(sock=narrow(gateway.url), limit=1024)
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(PATIENCE):
        await metric(talk.session, gateway.url, 'stalled_readers_total{transport="sse"}')
        await talk.data(gateway.url, "{ ledgers { code } }")
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            more = await reader.read(65536)
            assert more, rest[-300:]
            rest = rest[-2000:] + more
    assert b'"SLOW_CONSUMER"' in rest
    assert b"event: complete" in rest
    writer.close()
    await writer.wait_closed()


def sequence_of(payload: dict[str, Any]) -> int:
    sequence: int = payload["data"]["postings"]["entry"]["sequence"]
    return sequence


async def taken(payloads: AsyncIterator[dict[str, Any]], count: int) -> AsyncIterator[tuple[dict[str, Any], int]]:
    """The first so many."""
    for number in range(count):
        yield await anext(payloads), number


async def closed_sockets(session: aiohttp.ClientSession, url: str, code: str) -> None:
    """Returns once the gateway has counted a socket closed with this code."""
    await metric(session, url, f'closed_sockets_total{{code="{code}"}}')


async def metric(session: aiohttp.ClientSession, url: str, name: str) -> None:
    """Returns once the gateway counts at least one of these."""
    while True:
        async with session.get(url.removesuffix("/graphql") + "/metrics") as response:
            lines = (await response.text()).splitlines()
        if any(name in line and float(line.split()[-1]) >= 1 for line in lines):
            return
        await asyncio.sleep(0.05)


WRONG = {
    "none": None,
    "no token": "Bearer",
    "another scheme": "Basic YTpi",
    "no JWT": "Bearer nonsense",
    "another key": f"Bearer {issue_token(b'k' * 32, subject='x', scopes=sorted(SCOPES), ledgers=None, ttl=60)}",
}


@pytest.mark.parametrize("kind", [*WRONG, "expired", "cut off"])
async def test_bad_tokens_are_refused(pair: Site, talk: Client, kind: str) -> None:
    """401 over HTTP and for event streams, 4403 over WebSocket."""
    gateway = pair.gateways[0]
    secret = load_or_create_secret(pair.data_dir / SECRET_FILE)
    claims = jwt.decode(talk.token, options={"verify_signature": False})
    past = jwt.encode({**claims, "iat": claims["iat"] - 90, "exp": claims["iat"] - 60}, secret, algorithm="HS256")
    header = {**WRONG, "expired": f"Bearer {past}", "cut off": f"Bearer {talk.token[:-3]}"}[kind]
    headers = {} if header is None else {"Authorization": header}
    for accept in ("application/json", "text/event-stream"):
        body = {"query": "{ ledgers { code } }"}
        async with talk.session.post(gateway.url, json=body, headers={**headers, "Accept": accept}) as response:
            assert response.status == 401
            assert (await response.json(content_type=None))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with asyncio.timeout(PATIENCE), connect(gateway.websocket, subprotocols=[PROTOCOL]) as opened:
        await opened.send(json.dumps({"type": "connection_init", "payload": headers}))
        _, (code, _) = await closing(opened)
    assert code == 4403
