"""A company that trades, with an empty bank account."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sources.matching.trade import Trade, trading
from tests.sources.mirror.conftest import db, owner

__all__ = ["db", "owner"]


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found
