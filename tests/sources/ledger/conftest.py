"""Fixtures of the ledger store's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.sources.ledger.books import Books, opened


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    """A ledger acme-us in USD in a database of its own, seen as the application's role."""
    async with opened(database_url) as books:
        yield books


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The same database's owner, who passes every grant and policy."""
    connection = await asyncpg.connect(owner_url)
    yield connection
    await connection.close()
