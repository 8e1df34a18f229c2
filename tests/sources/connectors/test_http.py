"""What `SourceHttp` promises, against a server on loopback that answers as each test tells it to."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
import structlog
from aiohttp import web

from sources.connectors.answers import SourceRefused, decode_json, refusal_code, retry_after_seconds
from sources.connectors.breaker import BreakerState, CircuitBreaker
from sources.connectors.http import Auth, HttpOptions, SourceHttp, bearer
from sources.errors import ConfigurationError, SourceUnavailable
from sources.texts import plain

SECRET = "sk_live_do_not_tell"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers the n-th request with the n-th handler, the last one for ever after."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []
        self.requests: list[web.Request] = []
        self.url = ""

    def answer(self, *handlers: Handler) -> None:
        self.handlers = list(handlers)
        self.requests.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await request.read()
        return await self.handlers[min(len(self.requests), len(self.handlers)) - 1](request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Callable[..., SourceHttp]]:
    """Makes clients of the server, without waiting between attempts unless told otherwise."""
    clients: list[SourceHttp] = []

    def make(*, auth: Auth | None = None, base_url: str | None = None, **options: object) -> SourceHttp:
        chosen = HttpOptions(**{"waiting": False, **options})  # type: ignore[arg-type]
        clients.append(SourceHttp(name="billing", base_url=base_url or server.url, auth=auth, options=chosen))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


def says(body: str | bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(body=data, status=status, content_type=content_type, headers=named)

    return handler


async def hangs(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"data": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def test_numbers_with_decimals_are_exact(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """An amount of 0.1 or with 30 digits arrives as it was sent, with the answer's headers beside."""
    server.answer(says('{"a": 0.1, "b": 12345678901234567890.123456789, "c": 7}', X_Calls="5"))
    answer, headers = await connect().get_json("/v1/things", params=[("types[]", "a"), ("types[]", "b")])
    assert answer == {"a": Decimal("0.1"), "b": Decimal("12345678901234567890.123456789"), "c": 7}
    assert headers["X-Calls"] == "5"
    assert server.requests[0].query.getall("types[]") == ["a", "b"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_may_pass_is_tried_again(server: Server, connect: Callable[..., SourceHttp], status: int) -> None:
    """A rate limit or a gateway's error costs an attempt, not the call."""
    server.answer(says("", status), says("", status), says("{}"))
    assert (await connect().get_json("/"))[0] == {}
    assert len(server.requests) == 3


async def test_attempts_are_bounded(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """After the last attempt the error says what the source answered."""
    server.answer(says("", 503))
    with pytest.raises(SourceUnavailable, match=r"'billing' is not working .status 503.; try again later"):
        await connect(attempts=3).get_json("/")
    assert len(server.requests) == 3


async def test_a_request_that_is_not_idempotent_is_sent_once(
    server: Server, connect: Callable[..., SourceHttp]
) -> None:
    """A POST is repeated only by who says that it may be."""
    server.answer(says("", 503), says('{"access_token": "t"}'))
    with pytest.raises(SourceUnavailable):
        await connect().post_form_json("/token", {"grant_type": "client_credentials"})
    assert len(server.requests) == 1
    server.answer(says("", 503), says('{"access_token": "t"}'))
    form = {"grant_type": "client_credentials", "scope": "a b"}
    assert (await connect().post_form_json("/token", form, idempotent=True))[0] == {"access_token": "t"}
    assert dict(await server.requests[1].post()) == form


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "refused the request .status 400, parameter_unknown.: check its settings"),
        (401, "refused our credentials .status 401, parameter_unknown.: check its settings and permissions"),
        (404, "refused the request .status 404"),
    ],
)
async def test_a_refusal_is_not_repeated(
    server: Server, connect: Callable[..., SourceHttp], status: int, sentence: str
) -> None:
    """4xx is told at once, with the status and the source's own word for programs."""
    server.answer(says('{"error": {"code": "parameter_unknown", "message": "Key sk_live_x"}}', status))
    with pytest.raises(SourceRefused, match=sentence) as refused:
        await connect(auth=bearer(SECRET, "key")).get_json("/")
    assert (refused.value.status, refused.value.code) == (status, "parameter_unknown")
    assert "sk_live" not in str(refused.value)
    assert len(server.requests) == 1


async def test_retry_after_is_waited_out_by_every_call(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """A second call that starts meanwhile waits as long as the first one was told to."""
    moments: list[float] = []
    first = asyncio.Event()

    async def limited(_request: web.Request) -> web.Response:
        moments.append(time.monotonic())
        if len(moments) == 1:
            first.set()
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.json_response({})

    server.answer(limited)
    http = connect(waiting=True, backoff_seconds=0.01)

    async def second_call() -> None:
        await first.wait()
        await asyncio.sleep(0.05)
        await http.get_json("/")

    await asyncio.gather(http.get_json("/"), second_call())
    assert len(moments) == 3
    assert all(moment - moments[0] >= 1 for moment in moments[1:])


async def test_a_wait_beyond_the_deadline_is_not_begun(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Who has two seconds is told at once that the source wants sixty, and so is the next caller, without a request."""
    server.answer(says("", 429, Retry_After="60"))
    http = connect(waiting=True)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="asks to wait 60 s"):
        await http.get_json("/", deadline=2)
    with pytest.raises(SourceUnavailable, match="no further requests for 60 s"):
        await http.get_json("/", deadline=2)
    assert time.monotonic() - started < 1
    assert len(server.requests) == 1


async def test_the_deadline_holds_for_all_attempts_together(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """A source that hangs costs the deadline, however many attempts are left."""
    server.answer(hangs)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"did not answer within 0.5 s"):
        await connect(attempt_seconds=0.2, attempts=50, breaker_failures=99).get_json("/", deadline=0.5)
    assert 0.4 < time.monotonic() - started < 2
    assert len(server.requests) >= 2


async def test_a_hanging_attempt_is_tried_again(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """One attempt that gets no answer in its time does not fail the call."""
    server.answer(hangs, says("[1]"))
    assert (await connect(attempt_seconds=0.2).get_json("/"))[0] == [1]


async def test_an_answer_that_breaks_off_is_tried_again(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Half an answer is no answer."""
    server.answer(breaks_off, says('{"data": []}'))
    assert (await connect().get_json("/"))[0] == {"data": []}
    server.answer(breaks_off)
    with pytest.raises(SourceUnavailable, match="broke off in the middle of an answer"):
        await connect(attempts=2).get_json("/")


async def test_a_source_that_is_down_is_named_without_its_address(connect: Callable[..., SourceHttp]) -> None:
    """The error says that the connection was refused, and not by which host and port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        http = connect(base_url=f"http://127.0.0.1:{port}", attempts=2)
        with pytest.raises(SourceUnavailable, match=r"cannot be reached .connection refused.") as error:
            await http.get_json("/")
    assert "127.0.0.1" not in str(error.value)
    assert str(port) not in str(error.value)


async def test_the_circuit_opens_and_closes(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """After failures in a row nothing is sent for a while; then one probe decides."""
    server.answer(says("", 500))
    http = connect(breaker_failures=2, breaker_rest_seconds=0.2)
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match=r"failed .status 500."):
            await http.get_json("/")
    assert http.breaker_state is BreakerState.OPEN
    with pytest.raises(SourceUnavailable, match=r"failed 2 times in a row .* the last failure: .*status 500"):
        await http.get_json("/")
    assert len(server.requests) == 2
    await asyncio.sleep(0.25)
    assert http.breaker_state is BreakerState.HALF_OPEN
    server.answer(says("{}"))
    await http.get_json("/")
    assert http.breaker_state is BreakerState.CLOSED


async def test_a_probe_is_alone(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """While the probe is under way others wait for what comes of it, and a failed probe opens the circuit again."""
    server.answer(says("", 500))
    http = connect(breaker_failures=1, breaker_rest_seconds=0.1)
    with pytest.raises(SourceUnavailable):
        await http.get_json("/")
    await asyncio.sleep(0.15)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow_failure(_request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(status=500)

    server.answer(slow_failure)
    probe = asyncio.create_task(http.get_json("/"))
    await arrived.wait()
    other = asyncio.create_task(http.get_json("/"))
    go_on.set()
    with pytest.raises(SourceUnavailable):
        await probe
    with pytest.raises(SourceUnavailable, match="in a row"):
        await other
    assert http.breaker_state is BreakerState.OPEN
    assert len(server.requests) == 1


async def test_what_is_asked_together_recovers_together(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Requests that end with the first of them that fails: a refusal of the others would end each probe."""
    server.answer(says("", 500))
    http = connect(breaker_failures=1, breaker_rest_seconds=0.1)
    with pytest.raises(SourceUnavailable):
        await http.get_json("/")
    await asyncio.sleep(0.15)
    server.answer(*[says('{"well": true}')] * 3)
    async with asyncio.TaskGroup() as together:
        asked = [together.create_task(http.get_json("/")) for _ in range(3)]
    assert [task.result()[0] for task in asked] == [{"well": True}] * 3
    assert http.breaker_state is BreakerState.CLOSED


async def test_refusals_and_rate_limits_do_not_open_the_circuit(
    server: Server, connect: Callable[..., SourceHttp]
) -> None:
    """A source that answers 404 or 429 is alive."""
    server.answer(says("", 404), says("", 404), says("", 429), says("", 429))
    http = connect(breaker_failures=2, attempts=2)
    for _ in range(3):
        with pytest.raises(SourceUnavailable):
            await http.get_json("/")
    assert http.breaker_state is BreakerState.CLOSED


async def test_callers_who_give_up_on_a_hanging_source_open_the_circuit(
    server: Server, connect: Callable[..., SourceHttp]
) -> None:
    """A deadline shorter than an attempt's time does not hide that the source hangs."""
    server.answer(hangs)
    http = connect(breaker_failures=2, slow_seconds=0.1)
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="did not answer"):
            await http.get_json("/", deadline=0.15)
    with pytest.raises(SourceUnavailable, match="no answer within"):
        await http.get_json("/", deadline=0.15)
    assert len(server.requests) == 2


async def test_a_cancelled_probe_lets_the_next_one_through(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """A caller that goes away during the probe does not leave the circuit shut for ever."""
    server.answer(says("", 500))
    http = connect(breaker_failures=1, breaker_rest_seconds=0.05, slow_seconds=10)
    with pytest.raises(SourceUnavailable):
        await http.get_json("/")
    await asyncio.sleep(0.1)
    arrived = asyncio.Event()

    async def announced(request: web.Request) -> web.Response:
        arrived.set()
        return await hangs(request)

    server.answer(announced)
    probe = asyncio.create_task(http.get_json("/"))
    await arrived.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    server.answer(says("{}"))
    assert (await http.get_json("/"))[0] == {}


async def test_concurrency_is_bounded(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Of many calls at once only so many reach the source at a time."""
    running, most = 0, 0

    async def counted(_request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.json_response({})

    server.answer(counted)
    http = connect(concurrency=3)
    await asyncio.gather(*(http.get_json("/") for _ in range(12)))
    assert most == 3


async def test_reading_stops_beyond_the_bound(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """An endless answer is dropped where the bound is, and so is a small one that unpacks to a large one."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    async def packed(_request: web.Request) -> web.StreamResponse:
        response = web.json_response(text='"' + "a" * 5_000_000 + '"')
        response.enable_compression(web.ContentCoding.gzip)
        return response

    for handler in (endless, packed):
        server.answer(handler)
        with pytest.raises(SourceUnavailable, match="more than 1000000 bytes"):
            await connect(response_bytes=1_000_000).get_json("/")
        assert len(server.requests) == 1
    assert sent < 50_000_000


async def test_redirects_stay_on_the_host(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Within the host they are followed, with the credentials; to another host or in circles they are refused."""
    server.answer(says("", 307, Location="/moved?page=2"), says('{"ok": true}'))
    assert (await connect(auth=bearer(SECRET, "key")).get_json("/"))[0] == {"ok": True}
    assert server.requests[1].path_qs == "/moved?page=2"
    assert server.requests[1].headers["Authorization"] == f"Bearer {SECRET}"
    for location in (
        "http://localhost:9/",
        "//example.com/",
        "http://127.0.0.1:1/",
        "ftp://127.0.0.1/",
        "http://[",
        "",
    ):
        server.answer(says("", 302, Location=location), says("{}"))
        expected = "redirects in circles" if not location else "redirects to another host"
        with pytest.raises(SourceUnavailable, match=expected):
            await connect(redirects=0 if not location else 3).get_json("/")
        assert len(server.requests) == 1
    server.answer(says("", 302, Location="/again"))
    with pytest.raises(SourceUnavailable, match="redirects in circles"):
        await connect(redirects=2).get_json("/")
    assert len(server.requests) == 3
    server.answer(says("", 307, Location="/moved"))
    with pytest.raises(SourceUnavailable, match="redirects"):
        await connect().post_form_json("/token", {"client_secret": SECRET}, idempotent=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        ("<html>Maintenance</html>", "text/html", "answered with text/html instead of JSON: check its base_url"),
        ('{"data": [1, 2', "application/json", "JSON that cannot be read"),
        ("", "application/json", "JSON that cannot be read"),
        ("[NaN]", "application/json", "JSON that cannot be read"),
        (b'"\xff\xfe"', "application/json", "JSON that cannot be read"),
        ("[" * 100_000, "application/json", "JSON that cannot be read"),
        ("1" * 5_000, "application/json", "JSON that cannot be read"),
    ],
)
async def test_what_is_not_json_is_told(
    server: Server, connect: Callable[..., SourceHttp], body: str | bytes, content_type: str, sentence: str
) -> None:
    """An error page or broken JSON is an error of the source, in words for a person."""
    server.answer(says(body, content_type=content_type))
    with pytest.raises(SourceUnavailable, match=sentence):
        await connect().get_json("/")


async def test_refused_credentials_are_renewed_once(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """A token that expired is replaced and the request repeated; a second 401 is final."""
    refused: list[object] = []

    async def auth(last: object) -> dict[str, str]:
        if last is not None:
            refused.append(last)
        return {"Authorization": f"Bearer token-{len(refused)}"}

    server.answer(says("", 401), says("{}"))
    assert (await connect(auth=auth).get_json("/"))[0] == {}
    assert refused == [{"Authorization": "Bearer token-0"}]
    assert server.requests[1].headers["Authorization"] == "Bearer token-1"
    server.answer(says("", 401))
    with pytest.raises(SourceRefused, match="refused our credentials"):
        await connect(auth=auth).get_json("/")
    assert len(server.requests) == 2


async def test_secrets_are_never_told(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Neither errors, their causes and contexts, nor logs, nor reprs hold the key."""
    http = connect(auth=bearer(SECRET, "key"), attempts=2)
    told: list[str] = [repr(http), repr(vars(http))]
    with structlog.testing.capture_logs() as logs:
        for handler in (says(f'{{"error": "{SECRET}"}}', 401), says(SECRET, 503), breaks_off, says(SECRET)):
            server.answer(handler)
            with pytest.raises(SourceUnavailable) as raised:
                await http.get_json("/v1", params={"key": SECRET})
            error: BaseException | None = raised.value
            while error is not None:
                told += [str(error), repr(error)]
                error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    told += [repr(entry) for entry in logs]
    assert logs
    assert [entry["source"] for entry in logs] == ["billing"] * len(logs)
    assert not [text for text in told if SECRET in text or "Bearer" in text]


async def test_a_client_opens_again_after_close(server: Server, connect: Callable[..., SourceHttp]) -> None:
    """Closing twice is harmless, and the next call makes a new session."""
    server.answer(says("{}"))
    http = connect()
    await http.get_json("/")
    await http.close()
    await http.close()
    assert (await http.get_json("/"))[0] == {}


@pytest.mark.parametrize(
    "base_url", ["", "api.example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://e.com?a=1"]
)
def test_a_wrong_address_is_a_configuration_error(base_url: str) -> None:
    """The message names the setting; a password in the address is not repeated."""
    with pytest.raises(ConfigurationError, match=re.escape("sources.billing.base_url")) as error:
        SourceHttp(name="billing", base_url=base_url)
    assert "u:p" not in str(error.value)


def test_a_key_that_cannot_be_sent_is_a_configuration_error() -> None:
    """A newline at a key's end is the usual case; the setting is named, the key is not shown."""
    with pytest.raises(ConfigurationError, match=re.escape("sources.shop.api_key must be")) as error:
        bearer(f"{SECRET}\n", "sources.shop.api_key")
    assert SECRET not in str(error.value)


def test_retry_after_has_two_forms() -> None:
    """Seconds and HTTP dates, both capped; what is neither is left out."""
    assert retry_after_seconds("7", 300) == 7
    assert retry_after_seconds(" 1.5 ", 300) == 1.5
    assert retry_after_seconds("86400", 300) == 300
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after_seconds(soon, 300) or 0) <= 60
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 300) == 0
    assert [retry_after_seconds(value, 300) for value in (None, "", "-1", "soon", "٣", "9" * 400)] == [None] * 6


def test_only_bare_words_are_taken_from_a_refusal() -> None:
    """OAuth's, Stripe's and Xero's words; never a sentence."""
    assert refusal_code(b'{"error": "invalid_client", "error_description": "x"}') == "invalid_client"
    assert refusal_code(b'{"error": {"type": "invalid_request_error", "message": "x"}}') == "invalid_request_error"
    assert refusal_code(b'{"Type": "ValidationException"}') == "ValidationException"
    for body in (b"", b"[]", b'{"error": "a sentence with a key"}', b'{"error": 5}', b"[" * 100_000):
        assert refusal_code(body) is None


def test_what_cannot_be_stored_is_replaced() -> None:
    """Decimals stay exact as text; NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD."""
    value = decode_json("x", None, b'{"a\\u0000": ["\\ud800", 1.10, 10000000000000000000000, true, null]}')
    assert plain(value) == {"a\ufffd": ["\ufffd", "1.10", "10000000000000000000000", True, None]}


def test_the_breaker_counts_failures_in_a_row() -> None:
    """A success in between starts the count anew, and a failed probe rests as long again."""
    now = 0.0
    breaker = CircuitBreaker("Source 'x'", failures=2, rest_seconds=10, clock=lambda: now)
    breaker.enter()
    breaker.failed("a")
    breaker.succeeded()
    breaker.failed("b")
    assert breaker.state is BreakerState.CLOSED
    breaker.failed("c")
    with pytest.raises(SourceUnavailable, match="not asked again for 10 s; the last failure: c"):
        breaker.enter()
    now = 10.0
    breaker.enter()
    breaker.failed("d")
    now = 19.0
    with pytest.raises(SourceUnavailable, match="the last failure: d"):
        breaker.enter()
