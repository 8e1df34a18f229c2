"""The sample company's source systems: local servers on this machine alone, and the settings that point at them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.demo.activity import Activity
from gateway.demo.company import EU, US
from gateway.demo.servers.bank_files import USD_ACCOUNT, write_bank_files
from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.xero_payroll import PREFIX, XERO, xero_payroll_app
from gateway.values import Secret
from sources.mirror.settings import SourceSettings

BANK_FOLDER = "statements"
INBOX_FOLDER = "invoices"
_MAX_AGE = 30.0
_EVERY = 2.0


@dataclass(slots=True)
class Fuse:
    """Blown: the server answers every request with 503."""

    blown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """`sources`: settings that point at the systems. `stripe`: blow it, and Stripe is down."""

    sources: tuple[SourceSettings, ...]
    activity: Activity
    stripe: Fuse


@asynccontextmanager
async def source_systems(data_dir: Path, seed: int, today: date) -> AsyncIterator[Systems]:
    """Stripe and Xero on free ports of 127.0.0.1, bank statements and suppliers' invoices in folders of the data directory. All that
    they have was before `today`, but for what happened in earlier runs of the demo; it posts from `today` on."""
    folder, inbox, fuse = data_dir / BANK_FOLDER, data_dir / INBOX_FOLDER, Fuse()
    inbox.mkdir(exist_ok=True)
    await asyncio.to_thread(write_bank_files, folder, seed, today)
    key, secret = f"sk_test_{secrets.token_hex(12)}", secrets.token_hex(16)
    client, tenant = "acme-demo", "7a1f5c1e-5b0a-4f0e-9d0b-0a5e6f4c2d11"
    stripe = stripe_app(seed, today - timedelta(days=1), key)
    stripe.middlewares.insert(0, _fused(fuse))
    # A run of this month would belong to it to its end: the last one is the month's before.
    xero = xero_payroll_app(seed, today.replace(day=1) - timedelta(days=1), client, secret, tenant)
    activity = Activity(data_dir, folder, inbox, seed, today, stripe[STRIPE], xero[XERO].company)
    await asyncio.to_thread(activity.repeat)
    async with AsyncExitStack() as stack:
        stripe_address = await stack.enter_async_context(_serving(stripe))
        xero_address = await stack.enter_async_context(_serving(xero))
        sources = (
            _source("stripe", "stripe", US.code, today, base_url=stripe_address, api_key=Secret(key)),
            _source(
                "payroll",
                "xero-payroll",
                EU.code,
                today,
                base_url=xero_address + PREFIX,
                client_id=client,
                client_secret=Secret(secret),
                tenant_id=tenant,
            ),
            _source("inbox", "e-invoices", EU.code, today, path=str(inbox)),
            _source("banks", "bank-statements", EU.code, today, {USD_ACCOUNT: US.code}, path=str(folder)),
        )
        yield Systems(sources=sources, activity=activity, stripe=fuse)


def _source(
    name: str, kind: str, ledger: str, today: date, accounts: dict[str, str] | None = None, **options: str
) -> SourceSettings:
    return SourceSettings(
        name=name,
        kind=kind,
        ledger=ledger,
        max_age=_MAX_AGE,
        every=_EVERY,
        post_from=today,
        options=options,
        accounts=accounts or {},
    )


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _fused(fuse: Fuse) -> Any:
    @web.middleware
    async def refuse(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return web.Response(status=503) if fuse.blown else await handler(request)

    return refuse


@asynccontextmanager
async def _serving(app: web.Application) -> AsyncIterator[str]:
    """The server's address while it runs on a free port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
