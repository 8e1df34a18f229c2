"""/graphql over HTTP: what is answered, in which form, with which status."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.negotiation import GRAPHQL_JSON, JSON, negotiate
from tests.gateway.toy import ToyEngine, serve, token, toy_app

HELLO = {"query": "{ hello }"}


async def test_answers_a_query(client: Any) -> None:
    """A POST is answered with the engine's bytes in the media type that was asked for, and with the request's id."""
    status, body, headers = await client.post(HELLO, x_request_id="my-id.1")
    assert (status, body) == (200, {"data": {"hello": "hello world"}})
    assert headers["Content-Type"] == "application/graphql-response+json; charset=utf-8"
    assert headers["X-Request-Id"] == "my-id.1"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_answers_a_get(client: Any) -> None:
    """A GET takes its parameters from the query string, JSON where they are objects."""
    parameters = {
        "query": "query Q($n: String) { hello(name: $n) }",
        "variables": '{"n": "🏊"}',
        "operationName": "Q",
        "extensions": "{}",
        "unknown": "1",
    }
    async with client.session.get(client.graphql, params=parameters, headers=client.headers()) as response:
        assert (response.status, await response.json()) == (200, {"data": {"hello": "hello 🏊"}})


@pytest.mark.parametrize(
    "query",
    [
        "query=%ff",
        "query={hello}&query={hello}",
        "query={hello}&variables=[1]",
        "a=1",
        "query={hello}&variables={",
        "query=%00",
        "query={hello}&variables={%22a%22:%22\\u0000%22}",
    ],
)
async def test_refuses_a_bad_query_string(client: Any, query: str) -> None:
    """A query string that states no request is a 400 that says why."""
    url = client.graphql + "?" + query
    async with client.session.get(
        aiohttp.client.URL(url, encoded=True), headers=client.headers(accept=GRAPHQL_JSON)
    ) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


async def test_a_mutation_needs_post(client: Any) -> None:
    """A mutation by GET is refused and not executed."""
    async with client.session.get(
        client.graphql, params={"query": "mutation { add }"}, headers=client.headers()
    ) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
    assert client.engine.total == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_are_refused(client: Any, method: str) -> None:
    async with client.session.request(method, client.graphql, headers=client.headers()) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, POST"


MALFORMED = {
    "number": b"1",
    "null": b"null",
    "string": b'"query"',
    "batch": b'[{"query":"{ hello }"}]',
    "empty": b"",
    "no query": b"{}",
    "invalid UTF-8": b'{"query":"\xff\xfe"}',
    "gzip bytes": gzip.compress(b'{"query":"{ hello }"}'),
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"query":"{ hello }","variables":' + b'{"a":' * 500 + b"1" + b"}" * 501,
    "100,000 deep, whole": b'{"query":"{ hello }","variables":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "5,000 digits": b'{"query":"{ hello }","variables":{"a":' + b"9" * 5000 + b"}}",
    "200 digits": b'{"query":"{ hello }","variables":{"a":' + b"9" * 200 + b"}}",
    "infinite float": b'{"query":"{ hello }","variables":{"a":1e999}}',
    "NaN": b'{"query":"{ hello }","variables":{"a":NaN}}',
    "NUL escape": b'{"query":"{ hello }","variables":{"a":["x\\u0000"]}}',
    "NUL name": b'{"query":"{ hello }","variables":{"\\u0000":1}}',
    "NUL byte": b'{"query":"{ hello }\x00"}',
    "lone surrogate": b'{"query":"{ hello }","variables":{"a":"\\ud800"}}',
    "lone low surrogate": b'{"query":"{ hello }","variables":{"a":"\\udc00"}}',
    "query a list": b'{"query":["{ hello }"]}',
    "operationName a number": b'{"query":"{ hello }","operationName":1}',
    "variables a list": b'{"query":"{ hello }","variables":[]}',
    "extensions a string": b'{"query":"{ hello }","extensions":"x"}',
    "BOM": b'\xef\xbb\xbf{"query":"{ hello }"}',
    "UTF-16": '{"query":"{ hello }"}'.encode("utf-16"),
}


async def test_malformed_bodies_are_typed_refusals(client: Any) -> None:
    """Whatever is not a request is a 400 with a code, whichever answer the client takes."""
    for name, body in MALFORMED.items():
        for accept in (GRAPHQL_JSON, JSON, "*/*"):
            status, answer, _ = await client.post(body, accept=accept)
            assert (name, status) == (name, 400)
            assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST", name
            assert "data" not in answer


async def test_integers_of_any_size_arrive_exact(client: Any) -> None:
    """No digit of an integer is lost on the way to a variable."""
    for value in (2**53 + 1, 2**64, 10**30 + 1, -(2**63) - 1, 18446744073709551615):
        raw = b'{"query":"query($v: Whole!) { exact(value: $v) }","variables":{"v":%d}}' % value
        status, body, _ = await client.post(raw)
        assert (status, body["data"]["exact"]) == (200, f"int {value}")


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/graphql"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_type": "application/json; charset=latin1"},
        {"content_encoding": "gzip"},
        {"content_encoding": "br"},
    ],
)
async def test_unreadable_media_are_refused(client: Any, headers: dict[str, str]) -> None:
    status, body, _ = await client.post(b'{"query":"{ hello }"}', **headers)
    assert status == 415
    assert body["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_unacceptable_answers_are_refused(client: Any) -> None:
    status, body, _ = await client.post(HELLO, accept="text/csv")
    assert (status, body["errors"][0]["extensions"]["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL_JSON),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL_JSON),
        ("application/graphql-response+json;q=0.1, application/json", JSON),
        ("application/json, application/graphql-response+json", GRAPHQL_JSON),
        ("application/json;q=0, */*;q=0.1", GRAPHQL_JSON),
        ("APPLICATION/JSON ; Q=1.0", JSON),
        ("text/html, */*;q=0.5", JSON),
        ("text/csv", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
    ],
)
def test_negotiates(accept: str | None, media: str | None) -> None:
    """The client's weights decide; the newer type wins between equals that it names."""
    assert negotiate(accept).json == media


@pytest.mark.parametrize(("accept", "status"), [(GRAPHQL_JSON, 400), (JSON, 200)])
@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($v: Whole!) { exact(value: $v) }"}, "BAD_USER_INPUT"),
    ],
)
async def test_refused_documents(client: Any, request_body: Any, code: str, accept: str, status: int) -> None:
    """A document that is refused is a 400, or a 200 for clients of application/json alone; never with data."""
    found, body, _ = await client.post(request_body, accept=accept)
    assert (found, body["errors"][0]["extensions"]["code"]) == (status, code)
    assert "data" not in body


async def test_a_missing_scope_is_403(client: Any) -> None:
    """A document that needs a scope is refused whole, in every media type, and the challenge says so."""
    for accept in (GRAPHQL_JSON, JSON):
        status, body, headers = await client.post({"query": "{ hello admin }"}, accept=accept)
        assert (status, body["errors"][0]["path"]) == (403, ["admin"])
        assert "insufficient_scope" in headers["WWW-Authenticate"]


async def test_a_fault_is_masked(client: Any) -> None:
    """What a client must not see stays here; it gets the request id to ask with."""
    status, body, _ = await client.post({"query": "{ boom missing }"}, x_request_id="find-me")
    assert status == 200
    assert body["data"] == {"boom": None, "missing": None}
    codes = {fault["path"][0]: fault["extensions"] for fault in body["errors"]}
    assert codes == {
        "boom": {"code": "INTERNAL", "requestId": "find-me"},
        "missing": {"code": "NOT_FOUND", "requestId": "find-me"},
    }
    assert "db.internal" not in json.dumps(body)


async def test_an_unavailable_database_is_503(client: Any) -> None:
    status, body, headers = await client.post({"query": "{ down }"})
    assert (status, body["errors"][0]["extensions"]["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert headers["Retry-After"] == "1"


async def test_an_odd_request_id_is_replaced(client: Any) -> None:
    """An id that could forge a log or a header is not taken over."""
    for odd in ("a b", "x" * 65, "é", "<script>"):
        _, _, headers = await client.post(HELLO, x_request_id=odd)
        assert headers["X-Request-Id"] != odd


async def test_the_body_limit_holds_while_streaming(start: Any) -> None:
    """A body beyond the limit is refused, whether it says its length or not, before all of it was sent."""
    async with start(body_bytes=1000) as client:
        assert (await client.post(json.dumps({"query": "{ hello }" + " " * 2000}).encode()))[0] == 413
        assert (await client.post(json.dumps({"query": "{ hello }" + " " * 900}).encode()))[0] == 200

        async def endless() -> Any:
            while True:
                yield b" " * 500
                await asyncio.sleep(0)

        headers = client.headers(content_type="application/json")
        async with client.session.post(client.graphql, headers=headers, data=endless()) as response:
            assert response.status == 413
            assert (await response.json())["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


def _of(size: int) -> bytes:
    return json.dumps({"query": "{ hello }" + " " * size}).encode()


async def test_who_may_submit_files_may_send_more(start: Any) -> None:
    """Decided by the scope and the stated length; everybody else has the usual limit, and so has a body of unknown length."""
    async with start(body_bytes=1000, upload_bytes=50_000) as client:
        robot = {"authorization": f"Bearer {token(scopes=['ledger:read', 'documents:submit'])}"}
        assert (await client.post(_of(40_000), **robot))[0] == 200
        assert (await client.post(_of(40_000)))[0] == 413
        status, answer = (await client.post(_of(60_000), **robot))[:2]
        assert (status, answer["errors"][0]["extensions"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert "50000" in answer["errors"][0]["message"]

        async def pieces() -> Any:
            yield _of(40_000)

        headers = {**client.headers(content_type="application/json"), **robot}
        async with client.session.post(client.graphql, headers=headers, data=pieces()) as response:
            assert response.status == 413


async def test_a_large_body_is_of_few_values(start: Any) -> None:
    """Read as JSON, many small values take thirty times their size."""
    async with start(body_bytes=1000, upload_bytes=50_000) as client:
        robot = {"authorization": f"Bearer {token(scopes=['ledger:read', 'documents:submit'])}"}
        body = json.dumps({"query": "{ hello }", "variables": {"x": [{}] * 10_000}}).encode()
        status, answer = (await client.post(body, **robot))[:2]
        assert (status, answer["errors"][0]["extensions"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert "values" in answer["errors"][0]["message"]


async def test_large_bodies_are_bounded_together(start: Any) -> None:
    """One that finds no place is refused before it is read, and finds one once another was answered."""
    async with start(body_bytes=1000, upload_bytes=50_000, uploads_bytes=60_000) as client:
        robot = {"authorization": f"Bearer {token(scopes=['ledger:read', 'documents:submit'])}"}
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            yield _of(40_000)[:20_000]
            begun.set()
            await go.wait()
            yield _of(40_000)[20_000:]

        length = str(len(_of(40_000)))
        headers = {**client.headers(content_type="application/json"), **robot, "content-length": length}
        first = asyncio.create_task(client.session.post(client.graphql, headers=headers, data=slow()))
        await begun.wait()
        status, answer = (await client.post(_of(40_000), **robot))[:2]
        assert (status, answer["errors"][0]["extensions"]["code"]) == (503, "OVERLOADED")
        go.set()
        assert (await first).status == 200
        assert (await client.post(_of(40_000), **robot))[0] == 200


async def test_a_body_that_never_ends_is_given_up(start: Any) -> None:
    """A client that stops in the midst of its body is refused after a while."""
    async with start(stall_seconds=0.2) as client:
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"408"
        writer.close()
        await writer.wait_closed()


async def test_a_large_body_that_drips_is_given_up(start: Any) -> None:
    """It holds a place that others wait for, and every byte would buy it time."""
    async with start(stall_seconds=0.2, body_bytes=1000, upload_bytes=50_000) as client:
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        robot = token(scopes=["ledger:read", "documents:submit"])
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {robot}\r\nContent-Type: application/json\r\n"
        )
        writer.write(head.encode() + b"Content-Length: 40000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"408"
        dripping.cancel()
        writer.close()


async def test_a_mutation_outlives_its_client(client: Any) -> None:
    """What was begun is finished, although nobody waits for the answer."""
    request = asyncio.create_task(client.post({"query": "mutation { addSlowly }"}))
    await client.engine.slow_started.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    client.engine.slow_released.set()
    await asyncio.wait_for(client.engine.added.wait(), 5)


async def test_a_browser_gets_the_page(client: Any) -> None:
    """The page runs its own scripts alone, by nonce, and names no other host; a query from a browser is answered."""
    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    async with client.session.get(client.graphql, headers=browser) as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
        assert response.status == 200
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert page.count(f'nonce="{nonce}"') == 2
    assert "{{" not in page
    assert "http://" not in page
    assert "https://" not in page
    async with client.session.get(client.graphql, params=HELLO, headers={**browser, **client.headers()}) as response:
        assert await response.json() == {"data": {"hello": "hello world"}}


async def test_cors_is_off_unless_configured(start: Any) -> None:
    """Pages of other origins may call when their origin is configured, and only then."""
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with start() as client, client.session.options(client.graphql, headers=preflight) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    async with start(cors_origins=["https://app.example"]) as client:
        async with client.session.options(client.graphql, headers=preflight) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        other = {**preflight, "origin": "https://evil.example"}
        async with client.session.options(client.graphql, headers=other) as response:
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_health_readiness_and_unknown_paths() -> None:
    """The process is alive although it is not ready; why it is not is said when it may be."""
    from sources.errors import DatabaseUnavailable

    faults: list[Exception] = [
        DatabaseUnavailable("the database is behind: run ledgergraph migrate"),
        RuntimeError("pw"),
    ]

    async def readiness() -> None:
        if faults:
            raise faults.pop(0)

    async with serve(toy_app(ToyEngine(), readiness=readiness)) as url, aiohttp.ClientSession() as session:
        expected = [
            ("/healthz", 200),
            ("/readyz", 503),
            ("/readyz", 503),
            ("/readyz", 200),
            ("/", 404),
            ("/graphql/x", 404),
        ]
        bodies = []
        for path, status in expected:
            async with session.get(url + path) as response:
                assert (path, response.status) == (path, status)
                bodies.append(await response.text())
        assert "run ledgergraph migrate" in bodies[1]
        assert "pw" not in bodies[2]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(codec="utf-8")),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["query", "variables", "operationName", "extensions", "x"]), inner, max_size=5
                )
            ),
            max_leaves=20,
        ).map(lambda value: json.dumps(value).encode()),
        st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: json.dumps({"query": text}).encode()),
    ),
    accept=st.sampled_from([GRAPHQL_JSON, JSON, "*/*", "text/event-stream", "x/y", ";;q=,,"]),
)
def test_no_body_is_ever_a_500(fuzzed: Any, body: bytes, accept: str) -> None:
    """Any bytes at all are answered with 200 or a 4xx, in well-formed JSON or events."""
    status = fuzzed(body, accept)
    assert 200 <= status < 500


@pytest.fixture
def fuzzed() -> Any:
    """`fuzzed(body, accept)` -> status, by a server and a client that live in one loop for the whole test."""
    loop = asyncio.new_event_loop()
    server = serve(toy_app(ToyEngine()))
    url = loop.run_until_complete(server.__aenter__())

    async def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = loop.run_until_complete(open_session())
    headers = {"authorization": f"Bearer {token()}", "content-type": "application/json"}

    async def post(body: bytes, accept: str) -> int:
        async with session.post(url + "/graphql", data=body, headers={**headers, "accept": accept}) as response:
            text = await response.text()
            if response.content_type != "text/event-stream":
                json.loads(text)
            return response.status

    yield lambda body, accept: loop.run_until_complete(post(body, accept))
    loop.run_until_complete(session.close())
    loop.run_until_complete(server.__aexit__(None, None, None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
