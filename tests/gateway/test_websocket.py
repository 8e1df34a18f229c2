"""/graphql over WebSocket, graphql-transport-ws: messages, close codes, stalled readers, expired tokens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.closing import CLOSE_CODES
from gateway.frames import FrameProtocol
from tests.gateway.toy import ToyEngine, serve, token, toy_app

PROTOCOL = Subprotocol("graphql-transport-ws")
PATIENCE = 15


@contextlib.asynccontextmanager
async def opened(client: Any, **options: Any) -> AsyncIterator[ClientConnection]:
    """A socket that has said nothing yet."""
    settings = {"subprotocols": [PROTOCOL], "open_timeout": PATIENCE, "compression": None, **options}
    async with connect(client.websocket, **settings) as ws:
        yield ws


@contextlib.asynccontextmanager
async def ready(
    client: Any, *, ttl: float = 600, subject: str = "ann", **options: Any
) -> AsyncIterator[ClientConnection]:
    """A socket whose token was accepted."""
    async with opened(client, **options) as ws:
        bearer = f"Bearer {token(ttl=ttl, subject=subject)}"
        await say(ws, type="connection_init", payload={"Authorization": bearer})
        assert await hear(ws) == {"type": "connection_ack"}
        yield ws


async def say(ws: ClientConnection, **message: Any) -> None:
    await ws.send(json.dumps(message))


async def subscribe(ws: ClientConnection, id_: str, query: str, **payload: Any) -> None:
    await say(ws, type="subscribe", id=id_, payload={"query": query, **payload})


async def hear(ws: ClientConnection) -> Any:
    async with asyncio.timeout(PATIENCE):
        return json.loads(await ws.recv())


async def closed_with(ws: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the server closes, whatever it says before."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                await ws.recv()
    except ConnectionClosed as closed:
        return (1006, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


async def test_queries_mutations_and_subscriptions(client: Any) -> None:
    """Each kind of operation is answered with next and complete under its own id."""
    async with ready(client) as ws:
        await subscribe(ws, "q", "query($n: String) { hello(name: $n) }", variables={"n": "é"}, operationName=None)
        assert await hear(ws) == {"type": "next", "id": "q", "payload": {"data": {"hello": "hello é"}}}
        assert await hear(ws) == {"type": "complete", "id": "q"}
        await subscribe(ws, "m", "mutation { add(amount: 3) }")
        assert (await hear(ws))["payload"] == {"data": {"add": 3}}
        assert await hear(ws) == {"type": "complete", "id": "m"}
        await subscribe(ws, "s", "subscription { count(to: 3) }")
        assert [(await hear(ws))["payload"]["data"]["count"] for _ in range(3)] == [1, 2, 3]
        assert await hear(ws) == {"type": "complete", "id": "s"}


async def test_ping_is_answered_and_pong_ignored(client: Any) -> None:
    """Also before the token was given."""
    async with opened(client) as ws:
        await say(ws, type="pong")
        await say(ws, type="ping", payload={"x": 1})
        assert await hear(ws) == {"type": "pong"}


async def test_complete_stops_a_subscription_and_frees_its_id(client: Any) -> None:
    """What the client gave up ends at once; its id may be used again and gets no message of the old subscription."""
    async with ready(client) as ws:
        await subscribe(ws, "1", "subscription { flood(size: 10) }")
        await hear(ws)
        await say(ws, type="complete", id="1")
        await subscribe(ws, "2", "{ hello }")
        while (message := await hear(ws))["id"] != "2":
            assert message["payload"] == {"data": {"flood": "x" * 10}}
        await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
        await hear(ws)
        await subscribe(ws, "1", "{ hello }")
        assert (await hear(ws))["payload"] == {"data": {"hello": "hello world"}}
        await say(ws, type="complete", id="unknown")
        await subscribe(ws, "3", "{ hello }")
        assert (await hear(ws)) == {"type": "complete", "id": "1"}


async def test_one_bad_document_ends_that_operation_alone(client: Any) -> None:
    """A document that is refused, and a NUL in a variable, are errors of one operation; its siblings go on."""
    async with ready(client) as ws:
        await subscribe(ws, "live", "subscription { silence }")
        bad = {
            "{": "GRAPHQL_PARSE_FAILED",
            "{ nothing }": "GRAPHQL_VALIDATION_FAILED",
            "{ admin }": "FORBIDDEN",
            "subscription { lost }": "HISTORY_LOST",
            "{ down }": "DATABASE_UNAVAILABLE",
            "{" * 3000: "GRAPHQL_PARSE_FAILED",
        }
        for query, code in bad.items():
            await subscribe(ws, "bad", query)
            message = await hear(ws)
            assert (message["type"], message["id"]) == ("error", "bad")
            assert message["payload"][0]["extensions"]["code"] == code
        await subscribe(ws, "bad", "query($n: String) { hello(name: $n) }", variables={"n": "a\0b"})
        assert (await hear(ws))["payload"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert client.engine.streams == 1


async def test_a_failing_subscription_ends_with_masked_errors(client: Any) -> None:
    """A fault in the midst of a stream is a last result of errors; nothing inside leaks."""
    async with ready(client) as ws:
        await subscribe(ws, "1", "subscription { fails }")
        assert (await hear(ws))["payload"]["data"] == {"fails": 1}
        last = await hear(ws)
        assert last["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert "db.internal" not in json.dumps(last)
        assert (await hear(ws))["type"] == "complete"


async def test_operations_of_a_socket_are_limited(start: Any) -> None:
    """One operation too many is refused alone; when one ends, there is room again."""
    async with start(operations_per_socket=2) as client, ready(client) as ws:
        for id_ in ("1", "2", "3"):
            await subscribe(ws, id_, "subscription { silence }")
        message = await hear(ws)
        assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("3", "LIMIT_EXCEEDED")
        await say(ws, type="complete", id="1")
        await subscribe(ws, "4", "{ hello }")
        assert (await hear(ws))["type"] == "next"


async def test_subscriptions_of_a_caller_are_limited(start: Any) -> None:
    """On all sockets and event streams of a process together; other callers have their own, and who ends one has room."""
    async with start(subscriptions_per_caller=2) as client, ready(client) as one, ready(client) as another:
        await subscribe(one, "1", "subscription { silence }")
        await subscribe(another, "2", "subscription { silence }")
        while client.engine.streams < 2:
            await asyncio.sleep(0.001)
        await subscribe(another, "3", "subscription { silence }")
        message = await hear(another)
        assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("3", "LIMIT_EXCEEDED")
        async with ready(client, subject="bob") as other:
            await subscribe(other, "1", "subscription { count(to: 1) }")
            assert (await hear(other))["type"] == "next"
        await say(one, type="complete", id="1")
        await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
        await subscribe(another, "4", "subscription { count(to: 1) }")
        assert (await hear(another))["type"] == "next"


async def test_sockets_of_a_process_are_limited(start: Any) -> None:
    """One too many is told to try again later; when one closes, there is room."""
    async with start(sockets=1) as client:
        async with ready(client) as first, opened(client) as second:
            assert (await closed_with(second))[0] == 1013
            await first.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(AssertionError, ConnectionClosed):
                    async with ready(client):
                        return


async def test_a_closed_socket_is_freed_at_once(client: Any) -> None:
    """Without the garbage collector: thousands that reconnect would otherwise be held twice."""
    gc.collect()
    gc.disable()
    try:
        async with ready(client) as ws:
            await subscribe(ws, "1", "subscription { silence }")
            await subscribe(ws, "2", "{ hello }")
            await hear(ws)
            (wire,) = [weakref.ref(found) for found in gc.get_objects() if type(found) is FrameProtocol]
        await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
        async with asyncio.timeout(PATIENCE):
            while wire() is not None:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


@pytest.mark.parametrize("offered", [[], ["graphql-ws"], ["soap"]])
async def test_other_subprotocols_are_not_acceptable(client: Any, offered: list[str]) -> None:
    """The legacy graphql-ws protocol is off."""
    options = {"subprotocols": [Subprotocol(name) for name in offered] or None}
    async with opened(client, **options) as ws:
        assert (await closed_with(ws))[0] == 4406


async def test_our_subprotocol_is_chosen_among_others(client: Any) -> None:
    async with opened(client, subprotocols=[Subprotocol("graphql-ws"), PROTOCOL]) as ws:
        assert ws.subprotocol == PROTOCOL


async def test_a_socket_elsewhere_is_refused(client: Any) -> None:
    with pytest.raises(Exception, match="403"):
        async with connect(client.websocket + "/x", subprotocols=[PROTOCOL]):
            pass


INIT = {"type": "connection_init", "payload": {"Authorization": "Bearer {token}"}}
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": "subscription { silence }"}}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([SUBSCRIBE], 4401),
        ([INIT, INIT], 4429),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409),
        ([{"type": "connection_init"}], 4403),
        ([{"type": "connection_init", "payload": None}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": "Bearer nonsense"}}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": "Basic x"}}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": ["Bearer x"]}}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": "Bearer " + "x" * 10_000}}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": "Bearer " + "x" * 20_000}}], 1009),
        ([{"type": "ping", "payload": "x" * 20_000}], 1009),
        ([{"type": "connection_init", "payload": []}], 4400),
        ([{"type": "start"}], 4400),
        ([{"type": 1}], 4400),
        ([{}], 4400),
        ([1], 4400),
        ([None], 4400),
        ([[INIT]], 4400),
        ([INIT, {**SUBSCRIBE, "id": ""}], 4400),
        ([INIT, {**SUBSCRIBE, "id": 1}], 4400),
        ([INIT, {**SUBSCRIBE, "id": "x" * 256}], 4400),
        ([INIT, {"type": "subscribe", "id": "1"}], 4400),
        ([INIT, {"type": "subscribe", "id": "1", "payload": []}], 4400),
        ([INIT, {"type": "subscribe", "id": "1", "payload": {"query": 1}}], 4400),
        ([INIT, {"type": "subscribe", "id": "1", "payload": {"query": "{x}", "variables": []}}], 4400),
        ([INIT, {"type": "subscribe", "id": "1", "payload": {"query": "{x}", "operationName": {}}}], 4400),
        ([INIT, {"type": "complete"}], 4400),
        (["{"], 4400),
        ([""], 4400),
        (["[" * 10_000], 4400),
        (['{"type":"ping","payload":' + "[" * 900 + "]" * 900 + "}"], 4400),
        (['{"type":"ping","payload":"\\ud800"}'], 4400),
        (['{"type":"ping","payload":' + "9" * 5000 + "}"], 4400),
        ([b"\x00\x01"], 4400),
        ([b'{"type":"ping"}'], 4400),
    ],
)
async def test_protocol_faults_have_their_close_code(client: Any, messages: list[Any], code: int) -> None:
    """Everything that is not the protocol closes the socket with the documented code, and ends its operations."""
    async with opened(client) as ws:
        for message in messages:
            raw = message if isinstance(message, str | bytes) else json.dumps(message).replace("{token}", token())
            await ws.send(raw)
        assert (await closed_with(ws))[0] == code
    assert code in CLOSE_CODES


async def test_a_silent_socket_is_closed(start: Any) -> None:
    """Who does not say who it is in time has to go."""
    async with start(init_seconds=0.1) as client, opened(client) as ws:
        await say(ws, type="ping")
        assert await closed_with(ws) == (4408, "Connection initialisation timeout")


@pytest.mark.parametrize("times", [2, 40])
async def test_a_message_beyond_the_limit(start: Any, times: int) -> None:
    """A message that is too big is 1009, whether the endpoint or the server's protocol layer finds it."""
    async with start(body_bytes=100_000) as client, ready(client) as ws:
        with contextlib.suppress(ConnectionClosed):
            await ws.send(json.dumps({"type": "ping", "payload": "x" * 100_000 * times}))
        assert (await closed_with(ws))[0] == 1009


async def test_token_expiry_ends_operations_and_the_socket(client: Any) -> None:
    """Within a second of its expiry every operation of the token ends with TOKEN_EXPIRED, then the socket with 4403."""
    began = time.time()
    async with ready(client, ttl=1) as ws:
        for id_ in ("a", "b"):
            await subscribe(ws, id_, "subscription { silence }")
        messages = [await hear(ws), await hear(ws)]
        assert {message["id"] for message in messages} == {"a", "b"}
        for message in messages:
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "TOKEN_EXPIRED"
        assert await closed_with(ws) == (4403, "token expired")
    assert time.time() - began < 3  # whole seconds: the token lives up to two
    await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
    assert client.engine.streams == 0


async def test_a_client_that_leaves_ends_its_subscriptions(client: Any) -> None:
    """A closed connection, also one that is cut, leaves nothing running."""
    async with ready(client) as ws:
        await subscribe(ws, "1", "subscription { silence }")
        await subscribe(ws, "2", "{ hello }")
        await hear(ws)
        assert client.engine.streams == 1
        ws.transport.abort()
        await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
    assert client.engine.streams == 0


async def test_a_mutation_outlives_its_socket(client: Any) -> None:
    """What was begun is finished, although nobody waits for the answer."""
    async with ready(client) as ws:
        await subscribe(ws, "1", "mutation { addSlowly }")
        await client.engine.slow_started.wait()
    client.engine.slow_released.set()
    await asyncio.wait_for(client.engine.added.wait(), 5)


async def test_a_stalled_reader_is_closed_and_disturbs_nobody(start: Any) -> None:
    """A reader that takes nothing while its queue is full is closed with 4508; others are served as before. What it produced
    is bounded, and its last words reach it when it comes back."""
    async with start(stall_seconds=1.0, socket_queue=10) as client:
        narrow = socket.socket()
        host, port = client.url.removeprefix("http://").split(":")
        narrow.connect((host, int(port)))
        narrow.setblocking(False)
        async with ready(client, sock=narrow, max_queue=1) as stalled, ready(client) as lively:
            await subscribe(stalled, "flood", "subscription { flood(size: 100000) }")
            await asyncio.wait_for(client.engine.stream_ended.wait(), PATIENCE)
            assert client.engine.produced < 200
            began = time.monotonic()
            await subscribe(lively, "q", "{ hello }")
            assert (await hear(lively))["type"] == "next"
            assert time.monotonic() - began < 1
            assert await closed_with(stalled) == (4508, CLOSE_CODES[4508])


async def test_a_slow_reader_that_goes_on_reading_is_kept(start: Any) -> None:
    """Slow is not stalled: whoever takes a message now and then keeps its stream."""
    async with start(stall_seconds=0.5, socket_queue=2) as client, ready(client, max_queue=1) as ws:
        await subscribe(ws, "1", "subscription { flood(size: 200000) }")
        for _ in range(12):
            assert (await hear(ws))["type"] == "next"
            await asyncio.sleep(0.1)  # the reader's own pace, longer in all than a reader may stall
        ws.transport.abort()


async def test_a_restart_closes_sockets_with_a_code(start: Any) -> None:
    """A server that ends tells its clients to reconnect."""
    engine = ToyEngine()
    app = toy_app(engine)
    async with serve(app) as url, connect(url.replace("http", "ws", 1) + "/graphql", subprotocols=[PROTOCOL]) as ws:
        await app.end_streams()
        assert (await closed_with(ws))[0] == 1012


RAW_FRAMES = {
    "reserved opcode": b"\x83\x80abcd",
    "reserved bit": b"\xc1\x80abcd",
    "unmasked": b"\x81\x02{}",
    "long ping": b"\x89\xfe\x00\x7eabcd" + b"x" * 126,
    "fragmented ping": b"\x09\x80abcd",
    "continuation of nothing": b"\x80\x80abcd",
    "close with one byte": b"\x88\x81\x00\x00\x00\x00\x01",
    "close with a reserved code": b"\x88\x82\x00\x00\x00\x00\x03\xee",
    "huge length": b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd",
    "invalid UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xfe",
}


@pytest.mark.parametrize("frame", RAW_FRAMES.values(), ids=RAW_FRAMES.keys())
async def test_broken_frames_get_a_close_frame(client: Any, frame: bytes) -> None:
    """Bytes that are no WebSocket frame are answered with a close frame that holds a code, never with a cut connection."""
    code = await _raw(client.url, frame)
    assert code in (1002, 1007, 1009)


async def _raw(url: str, frames: bytes) -> int | None:
    """The code of the first close frame that answers these bytes on a fresh socket."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        try:
            while True:
                head = await reader.readexactly(2)
                length = head[1] & 0x7F
                if length == 126:
                    length = int.from_bytes(await reader.readexactly(2), "big")
                payload = await reader.readexactly(length)
                if head[0] & 0x0F == 8:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def _masked(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload  # a mask of zeros


@pytest.fixture
def raw() -> Any:
    """`raw(frames)` -> the close code, by a server that lives in one loop for the whole test."""
    loop = asyncio.new_event_loop()
    server = serve(toy_app(ToyEngine(), body_bytes=10_000))
    url = loop.run_until_complete(server.__aenter__())
    yield lambda frames: loop.run_until_complete(_raw(url, frames))
    loop.run_until_complete(server.__aexit__(None, None, None))
    loop.close()


MESSAGES = st.one_of(
    st.text(max_size=40),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["connection_init", "subscribe", "complete", "ping", "pong", "x"])},
        optional={
            "id": st.none() | st.integers() | st.text(max_size=5),
            "payload": st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["query", "variables", "Authorization"]), inner, max_size=3)
                ),
                max_leaves=8,
            ),
        },
    ).map(json.dumps),
).map(lambda text: text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=60),
            MESSAGES.map(lambda raw: _masked(1, raw)),
            st.binary(max_size=60).map(lambda raw: _masked(2, raw)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_frames_are_answered_in_the_protocol(raw: Any, frames: list[bytes]) -> None:
    """Any bytes, ended by a frame that none may send, get a close frame with a code of the protocol or of ours."""
    # Random bytes may announce a longer frame than they are; a broken frame at the end would then be its payload.
    code = raw(b"".join(frames) + b"\x83\x80abcd" * 40_000)
    assert code in CLOSE_CODES or code in (1000, 1001, 1002, 1003, 1005, 1007, 1009)
