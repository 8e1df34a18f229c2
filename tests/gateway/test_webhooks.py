"""Webhooks through the ASGI application: verified, stored once, acknowledged; then their source is asked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.webhooks import AT_ONCE, Webhooks
from sources.database.pool import Database
from sources.mirror import webhooks
from sources.mirror.settings import SourceSettings
from tests.gateway.processes import started

SECRET, OLD, KEY = "whsec_new", "whsec_old", "xero-key"
SOURCES = (
    SourceSettings(name="billing", kind="stripe", ledger="us", webhook_secrets=(SECRET, OLD)),
    SourceSettings(name="payroll", kind="xero-payroll", ledger="us", webhook_secrets=(KEY,)),
    SourceSettings(name="quiet", kind="stripe", ledger="us"),
)


@dataclass
class Door:
    """The endpoint, with who was woken and what is stored."""

    app: Webhooks
    owner: asyncpg.Connection[Any]
    database: Database
    woken: list[str] = field(default_factory=list)

    async def send(
        self, source: str, body: bytes, method: str = "POST", chunks: int = 1, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""
        step = max(1, -(-len(body) // chunks))
        parts = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
        messages = [
            {"type": "http.request", "body": part, "more_body": at < len(parts) - 1} for at, part in enumerate(parts)
        ]
        answers: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def answer(message: dict[str, Any]) -> None:
            answers.append(message)

        stated = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": f"/webhooks/{source}", "headers": stated}
        await self.app(scope, receive, answer)
        assert dict(answers[0]["headers"])[b"content-length"] == b"%d" % len(answers[1]["body"])
        return answers[0]["status"], answers[1]["body"]

    async def stripe(self, body: bytes, secret: str = SECRET, source: str = "billing") -> int:
        return (await self.send(source, body, stripe_signature=signed(body, secret), user_agent="Stripe/1.0"))[0]

    async def stored(self) -> list[tuple[str, str, bytes]]:
        rows = await self.owner.fetch("SELECT source, delivery_id, body FROM mirror.webhook ORDER BY received_at")
        return [tuple(row) for row in rows]


def signed(body: bytes, secret: str, at: float | None = None) -> str:
    moment = str(int(time.time() if at is None else at))
    return f"t={moment},v1={hmac.new(secret.encode(), f'{moment}.'.encode() + body, hashlib.sha256).hexdigest()}"


def event(number: int = 1) -> bytes:
    body = {"id": f"evt_{number}", "type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_1"}}}
    return json.dumps(body).encode()


@pytest.fixture
async def door(database_url: str, owner_url: str) -> AsyncIterator[Door]:
    owner = await asyncpg.connect(owner_url)
    async with Database(database_url, readers=1, writers=2) as database:
        woken: list[str] = []
        yield Door(Webhooks(database, SOURCES, woken.append), owner, database, woken)
    await owner.close()


async def test_a_signed_delivery_is_stored_and_wakes_its_source(door: Door) -> None:
    assert await door.stripe(event()) == 200
    assert await door.stored() == [("billing", "evt_1", event())]
    assert door.woken == ["billing"]
    headers = await door.owner.fetchval("SELECT headers FROM mirror.webhook")
    assert json.loads(headers) == {"user-agent": "Stripe/1.0"}


async def test_deliveries_come_again_and_in_any_order(door: Door) -> None:
    """Each is stored once and wakes once; all of them are acknowledged."""
    for number in (2, 1, 2, 1, 3):
        assert await door.stripe(event(number)) == 200
    assert [key for _, key, _ in await door.stored()] == ["evt_2", "evt_1", "evt_3"]
    assert door.woken == ["billing"] * 3


async def test_secrets_are_rotated(door: Door) -> None:
    assert await door.stripe(event(1), secret=OLD) == 200
    assert await door.stripe(event(2), secret=SECRET) == 200


async def test_what_cannot_be_verified_is_refused_and_leaves_nothing(door: Door) -> None:
    """A wrong secret, another body, an old signature, none at all, signed nonsense: one answer for all of them."""
    body = event()
    refused = [
        await door.send("billing", body, stripe_signature=signed(body, "other")),
        await door.send("billing", body + b" ", stripe_signature=signed(body, SECRET)),
        await door.send("billing", body, stripe_signature=signed(body, SECRET, at=time.time() - 3600)),
        await door.send("billing", body),
        await door.send("billing", b"", stripe_signature="t=,v1="),
        await door.send("billing", b"[1]", stripe_signature=signed(b"[1]", SECRET)),
        await door.send("payroll", body, stripe_signature=signed(body, SECRET)),
    ]
    assert refused == [(401, b"")] * 7
    assert (await door.stored(), door.woken) == ([], [])


async def test_xero_tests_the_intent_to_receive(door: Door) -> None:
    """200 for what is signed well and 401 for what is not, neither with a body; without events nobody is woken."""
    body = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"ABC"}'
    good = base64.b64encode(hmac.new(KEY.encode(), body, hashlib.sha256).digest()).decode()
    assert await door.send("payroll", body, x_xero_signature=good) == (200, b"")
    assert await door.send("payroll", body, x_xero_signature=good[::-1]) == (401, b"")
    assert door.woken == []
    assert len(await door.stored()) == 1


async def test_unknown_sources_methods_and_sizes(door: Door) -> None:
    large = b"x" * (webhooks.MAX_BODY + 1)
    assert (await door.send("nobody", event()))[0] == 404
    assert (await door.send("quiet", event(), stripe_signature=signed(event(), "")))[0] == 404
    assert (await door.send("billing", b"", method="GET"))[0] == 405
    assert (await door.send("billing", large, chunks=5, stripe_signature=signed(large, SECRET)))[0] == 413
    assert (await door.send("billing", b"x", content_length=str(webhooks.MAX_BODY + 1)))[0] == 413
    assert (await door.send("billing", b"x", content_length="-1"))[0] == 413
    assert await door.stored() == []


async def test_odd_ids_are_stored(door: Door) -> None:
    body = json.dumps({"id": "evt\0\u2028", "type": "x"}).encode()
    assert await door.stripe(body) == 200


async def test_a_crowd_is_told_to_come_again(door: Door) -> None:
    door.app._open = AT_ONCE
    assert await door.stripe(event()) == 503


async def test_deliveries_are_done_with_by_a_pull_that_began_later(door: Door) -> None:
    """And forgotten after thirty days."""
    for number in (1, 2, 3):
        await door.stripe(event(number))
    await door.owner.execute(
        "UPDATE mirror.webhook SET received_at = now() - interval '31 days' WHERE delivery_id = 'evt_1'"
    )
    await door.owner.execute(
        "UPDATE mirror.webhook SET received_at = now() + interval '1 hour' WHERE delivery_id = 'evt_3'"
    )
    now = await door.owner.fetchval("SELECT now()")
    async with door.database.writer() as connection:
        assert await webhooks.waiting(connection, ["billing", "payroll"]) == {"billing"}
        assert await webhooks.close(connection, "billing", now) == 1
        assert await webhooks.close(connection, "billing", now) == 0
    rows = await door.owner.fetch("SELECT delivery_id, processed_at IS NOT NULL FROM mirror.webhook ORDER BY 1")
    assert [tuple(row) for row in rows] == [("evt_2", True), ("evt_3", False)]


async def test_the_application_cannot_read_what_was_delivered(door: Door) -> None:
    """A delivery belongs to no ledger, so that no claim could guard it."""
    await door.stripe(event())
    async with door.database.writer() as connection:
        for column in ("body", "headers"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT {column} FROM mirror.webhook")


async def test_a_gateway_takes_webhooks_beside_the_graph(database_url: str, owner_url: str, tmp_path: Path) -> None:
    """As a process of its own, whose source does not even answer: a delivery waits for a pull that comes to its end."""
    config = tmp_path / "sources.toml"
    config.write_text(
        '[[sources]]\nname = "billing"\nkind = "stripe"\nledger = "us"\napi_key = "env:KEY"\npost_from = 2026-01-01\n'
        'base_url = "http://127.0.0.1:1"\nwebhook_secrets = ["env:NEW", "env:OLD"]\n'
    )
    secrets = {"KEY": "sk", "NEW": SECRET, "OLD": OLD}
    options = ("--port", 0, "--config", config, "--database-url", database_url)
    async with started("serve", *options, LEDGERGRAPH_JWT_SECRET="s" * 32, **secrets) as running:
        url = (await running.address()).replace("/graphql", "/webhooks/billing")
        async with aiohttp.ClientSession() as session:
            for secret, status in ((SECRET, 200), (OLD, 200), ("other", 401)):
                headers = {"Stripe-Signature": signed(event(), secret)}
                async with session.post(url, data=event(), headers=headers) as answer:
                    assert (answer.status, await answer.read()) == (status, b"")
            async with session.post(f"{url}x", data=event()) as answer:
                assert answer.status == 404
        assert await running.stop() == 0
        assert SECRET not in "".join(running.said)
    owner = await asyncpg.connect(owner_url)
    assert await owner.fetchval("SELECT count(*) FROM mirror.webhook WHERE processed_at IS NULL") == 1
    await owner.close()


async def test_a_flood_of_deliveries_is_closed_and_forgotten_in_pieces(door: Door) -> None:
    """By several processes at one time, of several sources: each is closed once, and none waits for another one."""
    await door.owner.execute(
        "INSERT INTO mirror.webhook (source, delivery_id, received_at, headers, body) "
        "SELECT name, n::text, now() - CASE WHEN n > 5000 THEN interval '40 days' ELSE interval '1 hour' END, '{}', '' "
        "FROM unnest(ARRAY['billing', 'payroll']) name, generate_series(1, 12000) n"
    )

    async def close(source: str) -> int:
        async with door.database.writer() as connection:
            return await webhooks.close(connection, source, datetime.now(UTC))

    counts = await asyncio.gather(*(close(source) for source in ("billing", "payroll") * 4))
    assert sum(counts) == 2 * 5000
    assert await door.owner.fetchval("SELECT count(*) FROM mirror.webhook") <= 24_000 - webhooks.FORGOTTEN_AT_ONCE
    assert [await close("billing") for _ in range(2)] == [0, 0]
    assert await door.owner.fetchval("SELECT count(*) FROM mirror.webhook") == 2 * 5000


async def test_what_is_not_signed_costs_the_database_nothing(door: Door) -> None:
    """A flood of it asks for no connection at all."""
    door.app._database = None  # type: ignore[assignment]
    assert {(await door.send("billing", event(n), stripe_signature="t=1,v1=0"))[0] for n in range(200)} == {401}
    assert {(await door.send("none", event(n)))[0] for n in range(200)} == {404}
