"""The sample company's source systems: local servers on this machine alone, and the settings that point at them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path

from aiohttp import web

from gateway.demo.company import EU, US
from gateway.demo.servers.bank_files import USD_ACCOUNT, write_bank_files
from gateway.demo.servers.stripe import stripe_app
from gateway.demo.servers.xero_payroll import PREFIX, xero_payroll_app
from gateway.values import Secret
from sources.mirror.settings import SourceSettings

BANK_FOLDER = "statements"
_MAX_AGE = 30.0


@asynccontextmanager
async def source_systems(data_dir: Path, seed: int, today: date) -> AsyncIterator[tuple[SourceSettings, ...]]:
    """Stripe and Xero on free ports of 127.0.0.1, bank statements in a folder of the data directory."""
    folder = data_dir / BANK_FOLDER
    await asyncio.to_thread(write_bank_files, folder, seed, today)
    key, secret = f"sk_test_{secrets.token_hex(12)}", secrets.token_hex(16)
    client, tenant = "acme-demo", "7a1f5c1e-5b0a-4f0e-9d0b-0a5e6f4c2d11"
    async with AsyncExitStack() as stack:
        stripe = await stack.enter_async_context(_serving(stripe_app(seed, today, key)))
        xero = await stack.enter_async_context(_serving(xero_payroll_app(seed, today, client, secret, tenant)))
        yield (
            SourceSettings(
                name="stripe",
                kind="stripe",
                ledger=US.code,
                max_age=_MAX_AGE,
                options={"base_url": stripe, "api_key": Secret(key)},
            ),
            SourceSettings(
                name="payroll",
                kind="xero-payroll",
                ledger=EU.code,
                max_age=_MAX_AGE,
                options={
                    "base_url": xero + PREFIX,
                    "client_id": client,
                    "client_secret": Secret(secret),
                    "tenant_id": tenant,
                },
            ),
            SourceSettings(
                name="banks",
                kind="bank-statements",
                ledger=EU.code,
                max_age=_MAX_AGE,
                options={"path": str(folder)},
                accounts={USD_ACCOUNT: US.code},
            ),
        )


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
