"""`python -m benchmarks.row_level_security`: what the second wall costs the statements that reading is made of.

The same statements on one seeded ledger, in turns, by the application's role (policies apply) and by the owner of the
cluster (they do not); and one statement with and without the transaction that sets the caller's ledgers.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import click

from benchmarks.books import seed
from gateway.config import Settings
from gateway.openbooks import books
from sources.database.embedded import EmbeddedPostgres

ROUNDS = 7
TIMES = 200
STATEMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "51 newest entries": (
        (
            "SELECT sequence, effective_date, description, total FROM ledger.entry WHERE ledger_id = $1 "
            "ORDER BY sequence DESC LIMIT 51"
        ),
        (),
    ),
    "lines of 50 entries": (
        (
            "SELECT amount, currency, account_id, sequence FROM ledger.line WHERE ledger_id = $1 AND sequence = ANY($2) "
            "ORDER BY sequence, line_number"
        ),
        (list(range(1000, 1050)),),
    ),
    "one account": ("SELECT code, name FROM ledger.account WHERE ledger_id = $1 AND code = ANY($2)", (["1000"],)),
    "sums of all months": (
        "SELECT account_id, sum(functional_debit) FROM ledger.balance_month WHERE ledger_id = $1 GROUP BY 1",
        (),
    ),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--entries", default=20_000, show_default=True, type=click.IntRange(2_000), help="Seeded entries.")
def main(entries: int) -> None:
    """Measure what row-level security costs reading, on an embedded PostgreSQL in a temporary folder."""
    directory = Path(tempfile.mkdtemp(prefix="ledgergraph-bench-"))
    try:
        asyncio.run(_measure(Settings(data_dir=directory / "data"), entries))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(settings: Settings, entries: int) -> None:
    async with books(settings) as opened:
        ledger = await seed(opened, 200, entries, lambda _: None)
        server = EmbeddedPostgres(settings.data_dir)
        app = await asyncpg.connect(server.dsn(user="ledgergraph_app"))
        superuser = await asyncpg.connect(server.dsn(user="postgres"))
        await superuser.execute("ANALYZE")
        for connection in (app, superuser):
            await connection.execute(f"SET ledgergraph.ledgers = '{ledger.ledger_id}'")
        for name, (sql, args) in STATEMENTS.items():
            with_policies, without = await _turns(
                lambda sql=sql, args=args: app.fetch(sql, ledger.ledger_id, *args),  # type: ignore[misc]
                lambda sql=sql, args=args: superuser.fetch(sql, ledger.ledger_id, *args),  # type: ignore[misc]
            )
            click.echo(f"{name}: {with_policies:.0f} µs with policies, {without:.0f} µs without")
        sql, args = STATEMENTS["one account"]

        async def framed() -> None:
            await app.execute(
                f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ledgergraph.ledgers = '{ledger.ledger_id}'"
            )
            await app.fetch(sql, ledger.ledger_id, *args)
            await app.execute("ROLLBACK")

        within, alone = await _turns(framed, lambda: app.fetch(sql, ledger.ledger_id, *args))
        click.echo(f"one account: {within:.0f} µs in a transaction that sets the ledgers, {alone:.0f} µs without")
        await app.close()
        await superuser.close()


async def _turns(one: Callable[[], Awaitable[Any]], other: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """The medians of both in microseconds, measured in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for contestant, times in zip((one, other), taken, strict=True):
            await contestant()
            begun = time.perf_counter()
            for _ in range(TIMES):
                await contestant()
            times.append((time.perf_counter() - begun) / TIMES * 1e6)
    return median(taken[0]), median(taken[1])


if __name__ == "__main__":
    main()
