"""`POST /webhooks/{source}`: what source systems tell us. A delivery is verified, stored, acknowledged, and then the source is asked.

What a delivery says is never believed beyond "something happened": the source is pulled, so that deliveries may be lost, come
twice or in any order. Whatever is wrong with one that cannot be verified, the answer is 401 without a word (Xero's test of the
intent to receive expects just that), and nothing is kept of it. Answers have no body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import structlog
from starlette.types import Receive, Scope, Send

from gateway.asked import header_map
from gateway.exchange import SECURITY_HEADERS, ClientGone
from sources.connectors.registry import KINDS
from sources.connectors.webhooks import Delivery, WebhookRefused
from sources.database.pool import Database
from sources.errors import LedgergraphError
from sources.mirror import webhooks
from sources.mirror.settings import SourceSettings

log = structlog.get_logger(__name__)

PATH: Final = "/webhooks/"
READING_SECONDS: Final = 10.0
"""How long a delivery may take to arrive."""
AT_ONCE: Final = 32
"""Deliveries that are read and stored at one time; others are told to come again."""
_KEPT_HEADERS: Final = ("content-type", "user-agent", "x-request-id")
_LONGEST_HEADER: Final = 255


class Refused(Exception):
    """A delivery that is not taken; `status`: of the answer."""

    def __init__(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers


class Webhooks:
    """The ASGI application behind /webhooks/. Sources without secrets for webhooks are unknown to it. `wake`: has a source
    pulled soon."""

    def __init__(self, database: Database, sources: Iterable[SourceSettings], wake: Callable[[str], None]) -> None:
        self._database = database
        self._sources = {each.name: each for each in sources if each.webhook_secrets}
        self._wake = wake
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._open >= AT_ONCE:
            await _answer(send, Refused(503, (b"retry-after", b"1")))
            return
        self._open += 1
        try:
            await _answer(send, await self._taken(scope, receive))
        except ClientGone:
            return
        finally:
            self._open -= 1

    async def _taken(self, scope: Scope, receive: Receive) -> Refused | None:
        """None: it is stored."""
        try:
            source = self._source(scope)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in header_map(scope).items()}
            body = await _body(headers, receive)
            delivery = _verified(source, headers, body)
            await self._store(source, delivery, headers, body)
        except Refused as refused:
            return refused
        return None

    def _source(self, scope: Scope) -> SourceSettings:
        source = self._sources.get(scope["path"].removeprefix(PATH))
        if source is None:
            raise Refused(404)
        if scope["method"] != "POST":
            raise Refused(405, (b"allow", b"POST"))
        return source

    async def _store(self, source: SourceSettings, delivery: Delivery, headers: Mapping[str, str], body: bytes) -> None:
        kept = {name: headers[name][:_LONGEST_HEADER] for name in _KEPT_HEADERS if name in headers}
        try:
            async with self._database.writer() as connection:
                new = await webhooks.receive(connection, source.name, delivery.key, kept, body)
        except LedgergraphError as fault:
            log.warning("a webhook could not be stored", source=source.name, reason=str(fault))
            raise Refused(503, (b"retry-after", b"5")) from None
        log.info("webhook received", source=source.name, kinds=[each.kind for each in delivery.events[:10]], new=new)
        if new and delivery.events:
            self._wake(source.name)


def _verified(source: SourceSettings, headers: Mapping[str, str], body: bytes) -> Delivery:
    verify = KINDS[source.kind].verify
    assert verify is not None, "the settings refuse secrets for webhooks of a kind that sends none"
    try:
        return verify(headers, body, source.webhook_secrets, time.time())
    except WebhookRefused as refused:
        log.warning("webhook refused", source=source.name, reason=str(refused))
        raise Refused(401) from None


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """As it came, byte for byte. Raises Refused, and ClientGone when it will never be whole."""
    declared = headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or len(declared) > 18 or int(declared) > webhooks.MAX_BODY:
        raise Refused(413)
    parts, size, more = list[bytes](), 0, True
    try:
        async with asyncio.timeout(READING_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > webhooks.MAX_BODY:
                    raise Refused(413)
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refused(408) from None
    return b"".join(parts)


def _answer(send: Send, refused: Refused | None) -> Awaitable[None]:
    return respond(send, refused.status, refused.headers) if refused else respond(send, 200)


async def respond(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """An answer without a body."""
    every = [*headers, (b"content-length", b"0"), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": b""})
