"""A toy graph on a live server for the tests of the endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from tests.gateway.toy import ToyEngine, serve, token, toy_app


class Client:
    """An HTTP client of one live server."""

    def __init__(self, engine: ToyEngine, url: str, session: aiohttp.ClientSession) -> None:
        self.engine, self.url, self.session = engine, url, session
        self.graphql = url + "/graphql"
        self.websocket = self.graphql.replace("http", "ws", 1)

    def headers(self, **extra: str) -> dict[str, str]:
        return {
            "authorization": f"Bearer {token()}",
            **{name.replace("_", "-"): value for name, value in extra.items()},
        }

    async def post(self, body: Any, **extra: str) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of a POST; bytes are sent as they are, anything else as JSON."""
        headers = self.headers(
            **{"content_type": "application/json", "accept": "application/graphql-response+json", **extra}
        )
        options: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(self.graphql, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None), response.headers.copy()


@pytest.fixture
def start() -> Callable[..., AbstractAsyncContextManager[Client]]:
    """`async with start(**limits_and_options) as client`: a live server with a toy graph."""

    @contextlib.asynccontextmanager
    async def started(**options: Any) -> AsyncIterator[Client]:
        engine = ToyEngine()
        app = toy_app(engine, **options)
        async with serve(app) as url, aiohttp.ClientSession() as session:
            yield Client(engine, url, session)

    return started


@pytest.fixture
async def client(start: Callable[..., AbstractAsyncContextManager[Client]]) -> AsyncIterator[Client]:
    """A live server with a toy graph and default limits."""
    async with start() as started:
        yield started
