"""HTTP discipline for every source, in one place: `SourceHttp`.

What a call does: waits for its turn (concurrency bound, the source's own Retry-After), asks the circuit breaker, sends,
follows redirects within the same host, reads at most `response_bytes`, decodes JSON with exact decimals, and retries what
may be retried, all within one deadline. Whatever goes wrong is a SourceUnavailable whose sentence says what happened and
what to do; it never names hosts, addresses or secrets.

Retried: connection errors, timeouts and answers 429, 502, 503 and 504 (RFC 9110 15.6, RFC 6585 4), and only requests that
are idempotent. Retry-After (RFC 9110 10.2.3) is honoured by every call to the same source, not just by the one that got it.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
import tenacity
from yarl import URL

from sources.connectors.answers import (
    SourceRefused,
    Transient,
    decode_json,
    failure,
    refusal_code,
    retry_after_seconds,
)
from sources.connectors.breaker import BreakerState, CircuitBreaker
from sources.connectors.http_options import Auth, Headers, HttpOptions, Params, bearer, checked_base
from sources.errors import SourceUnavailable

__all__ = ["Auth", "Headers", "HttpOptions", "Params", "SourceHttp", "SourceRefused", "bearer"]

logger = structlog.get_logger(__name__)

_ERRNO_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "it closed the connection",
    errno.EHOSTUNREACH: "no route to it",
    errno.ENETUNREACH: "no route to it",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    headers: Headers
    params: Params | None = None
    form: Mapping[str, str] | None = None
    json: Any = None
    idempotent: bool
    authenticated: bool = False
    of_one: bool = False
    seconds: float
    ends: float

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


class SourceHttp:
    """One source's HTTP client. Constructed without I/O; its session is made on first use, on the running loop.

    `name` is the source's, for messages and logs; `base_url` is http(s) without credentials, paths are appended to it."""

    def __init__(
        self, *, name: str, base_url: str, auth: Auth | None = None, options: HttpOptions | None = None
    ) -> None:
        self._options = options or HttpOptions()
        self._subject = f"Source {name!r}"
        self._base = checked_base(name, base_url)
        self._auth = auth
        self._log = logger.bind(source=name)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(self._options.concurrency)
        self._not_before = 0.0
        self._probed = asyncio.Event()
        self._breaker = CircuitBreaker(
            self._subject, failures=self._options.breaker_failures, rest_seconds=self._options.breaker_rest_seconds
        )

    def __repr__(self) -> str:
        return f"<SourceHttp {self._subject}>"

    @property
    def breaker_state(self) -> BreakerState:
        return self._breaker.state

    async def get_json(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Headers | None = None,
        deadline: float | None = None,
        of_one: bool = False,
    ) -> tuple[Any, Headers]:
        """The decoded JSON (decimals as Decimal) and the headers of a 2xx answer. `path` starts with "/", its segments are
        quoted; `deadline` is seconds for the whole call; `of_one`: it is about one record, whose failure tells the circuit breaker
        nothing of the source. Raises SourceRefused on 4xx, SourceUnavailable on all else."""
        return await self._call(
            self._request(
                "GET", path, deadline, headers, params=params, authenticated=True, idempotent=True, of_one=of_one
            )
        )

    async def post_form_json(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        headers: Headers | None = None,
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> tuple[Any, Headers]:
        """POST a form, for token endpoints: `auth` is not asked, give the credentials in `form` or `headers`. Retried only
        when `idempotent`. Returns and raises as `get_json`."""
        return await self._call(self._request("POST", path, deadline, headers, form=form, idempotent=idempotent))

    async def post_json(
        self,
        path: str,
        body: Any,
        *,
        params: Params | None = None,
        headers: Headers | None = None,
        authenticated: bool = True,
        idempotent: bool = False,
        deadline: float | None = None,
    ) -> tuple[Any, Headers]:
        """POST JSON, for calls of a remote procedure: retried only when `idempotent`. Not `authenticated`: `auth` is not
        asked. Returns and raises as `get_json`."""
        request = self._request(
            "POST",
            path,
            deadline,
            headers,
            params=params,
            json=body,
            authenticated=authenticated,
            idempotent=idempotent,
        )
        return await self._call(request)

    async def close(self) -> None:
        """Closes the session; a later call opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _request(
        self, method: str, path: str, deadline: float | None, headers: Headers | None, **details: Any
    ) -> _Request:
        seconds = self._options.deadline_seconds if deadline is None else deadline
        ends = asyncio.get_running_loop().time() + seconds
        return _Request(method=method, path=path, headers=headers or {}, seconds=seconds, ends=ends, **details)

    async def _call(self, request: _Request) -> tuple[Any, Headers]:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Transient) and request.idempotent),
            wait=self._pause,
            stop=lambda state: self._exhausted(state, request),
            before_sleep=lambda state: self._log_retry(state, request),
            reraise=True,
        )
        try:
            async with asyncio.timeout_at(request.ends):
                return await retrying(self._attempt, request)
        except Transient as error:
            raise SourceUnavailable(str(error)) from None
        except TimeoutError:
            message = f"{self._subject} did not answer within {request.seconds:g} s; try again later."
            raise SourceUnavailable(message) from None

    def _pause(self, state: tenacity.RetryCallState) -> float:
        options = self._options
        if not options.waiting:
            return 0.0
        asked = getattr(state.outcome and state.outcome.exception(), "retry_after", None)
        if asked is not None:
            return float(asked) + tenacity.wait_random(0, options.backoff_seconds)(state)
        return tenacity.wait_random_exponential(options.backoff_seconds, max=options.backoff_cap_seconds)(state)

    def _exhausted(self, state: tenacity.RetryCallState, request: _Request) -> bool:
        wakes = asyncio.get_running_loop().time() + state.upcoming_sleep
        return state.attempt_number >= self._options.attempts or wakes >= request.ends

    def _log_retry(self, state: tenacity.RetryCallState, request: _Request) -> None:
        reason = str(state.outcome and state.outcome.exception())
        pause = round(state.upcoming_sleep, 3)
        self._log.info("source_retry", path=request.path, attempt=state.attempt_number, pause=pause, reason=reason)

    async def _attempt(self, request: _Request) -> tuple[Any, Headers]:
        await self._turn(request)
        if self._auth is None or not request.authenticated:
            return await self._send(request, {})
        credentials = await self._auth(None)
        try:
            return await self._send(request, credentials)
        except SourceRefused as refused:
            renewed = await self._auth(credentials) if refused.status == 401 else credentials
            if renewed == credentials:
                raise
        return await self._send(request, renewed)

    async def _turn(self, request: _Request) -> None:
        """Waits out the Retry-After that any call to this source was given."""
        now = asyncio.get_running_loop().time()
        pause = self._not_before - now
        if pause <= 0 or not self._options.waiting:
            return
        if self._not_before >= request.ends:
            raise SourceUnavailable(f"{self._subject} asked for no further requests for {pause:.0f} s; try again then.")
        await asyncio.sleep(pause)

    async def _send(self, request: _Request, credentials: Headers) -> tuple[Any, Headers]:
        """One attempt under the concurrency bound, whose outcome the breaker learns. Whoever comes while a probe is under way waits
        for its outcome: a refusal would end what is asked together with the probe, and so the probe itself, each time."""
        async with self._slots:
            while self._breaker.probing:
                await self._probed.wait()
            self._breaker.enter()
            if self._breaker.probing:
                self._probed.clear()
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                answer = await self._exchange(request, credentials)
                self._breaker.succeeded()
            except asyncio.CancelledError:
                # Who waits less than a hanging source takes must not keep the breaker from ever learning of it.
                if loop.time() - started >= self._options.slow_seconds and not request.of_one:
                    self._breaker.failed(f"no answer within {loop.time() - started:.0f} s")
                else:
                    self._breaker.released()
                raise
            except SourceUnavailable as error:
                self._learn(error, request)
                raise
            except BaseException:
                self._breaker.released()
                raise
            finally:
                self._probed.set()
            return answer

    def _learn(self, error: SourceUnavailable, request: _Request) -> None:
        if isinstance(error, SourceRefused) or (isinstance(error, Transient) and error.alive):
            self._breaker.succeeded()
        elif request.of_one and self._breaker.state is BreakerState.CLOSED:
            self._breaker.released()
        else:
            self._breaker.failed(str(error))
        if isinstance(error, Transient) and error.retry_after is not None:
            self._not_before = max(self._not_before, asyncio.get_running_loop().time() + error.retry_after)

    async def _exchange(self, request: _Request, credentials: Headers) -> tuple[Any, Headers]:
        try:
            return await self._follow(request, {"Accept": "application/json", **request.headers, **credentials})
        except TimeoutError:
            raise Transient(f"{self._subject} did not answer in time; try again later.") from None
        except aiohttp.ClientSSLError:
            message = f"{self._subject} has no valid TLS certificate: check its base_url and the machine's clock."
            raise SourceUnavailable(message) from None
        except aiohttp.ClientPayloadError:
            raise Transient(f"{self._subject} broke off in the middle of an answer; try again later.") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = _connection_failure(error)
            message = f"{self._subject} cannot be reached ({reason}): check that it is up and its base_url is right."
            raise Transient(message) from None

    async def _follow(self, request: _Request, headers: Headers) -> tuple[Any, Headers]:
        url, params = URL(f"{self._base}{request.path}", encoded=False), request.params
        for _ in range(self._options.redirects + 1):
            async with self._open().request(
                request.method,
                url,
                params=params,
                data=request.form,
                json=request.json,
                headers=headers,
                allow_redirects=False,
            ) as response:
                if response.status not in _REDIRECTS:
                    sent = [
                        *headers.values(),
                        *(request.form or {}).values(),
                        str(request.json or ""),
                        str(request.params),
                    ]
                    return await self._read(response, sent)
                url, params = self._redirected(request, response), None
        raise SourceUnavailable(f"{self._subject} redirects in circles: check its base_url.")

    def _redirected(self, request: _Request, response: aiohttp.ClientResponse) -> URL:
        try:
            target = response.url.join(URL(response.headers.get("Location", "")))
        except ValueError:
            target = URL("")
        upgraded = response.url.is_default_port() and target.is_default_port() and target.scheme == "https"
        same_origin = target.origin() == response.url.origin() if target.absolute else False
        if request.method != "GET" or target.host != response.url.host or not (same_origin or upgraded):
            raise SourceUnavailable(
                f"{self._subject} redirects to another host or away from https, which is not followed: check its base_url."
            )
        return target

    async def _read(self, response: aiohttp.ClientResponse, sent: Iterable[str]) -> tuple[Any, Headers]:
        body = await self._body(response)
        headers = response.headers
        if 200 <= response.status < 300:
            return decode_json(self._subject, headers.get("Content-Type"), body), headers
        after = retry_after_seconds(headers.get("Retry-After"), self._options.retry_after_cap_seconds)
        raise failure(self._subject, response.status, refusal_code(body, sent), after)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Reading stops, and the connection is dropped, once the answer is larger than allowed."""
        limit = self._options.response_bytes
        parts, size = [], 0
        async for part in response.content.iter_chunked(65_536):
            size += len(part)
            if size > limit:
                response.close()
                raise SourceUnavailable(f"{self._subject} answered with more than {limit} bytes, which is not read.")
            parts.append(part)
        return b"".join(parts)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            options = self._options
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=options.concurrency),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=options.attempt_seconds, sock_connect=options.connect_seconds),
                headers={"User-Agent": "ledgergraph"},
            )
        return self._session


def _connection_failure(error: Exception) -> str:
    """What happened in a few words: the library's own text holds host and address."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    return _ERRNO_WORDS.get(getattr(error, "errno", None) or 0, "connection failed")
