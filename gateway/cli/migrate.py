"""`ledgergraph migrate`: brings a database to this version's schema."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.databases import database_server
from sources.database.migrate import check_known, current_revision, head_revision, upgrade


@click.command(
    "migrate",
    epilog=examples(
        "ledgergraph migrate --database-url postgresql://owner@db.internal/books",
        "ledgergraph migrate --data-dir .ledgergraph",
    ),
)
@database_options
def command(data_dir: Path | None, database_url: str | None, config: Path | None) -> None:
    """Create or upgrade the database's schema.

    Log in as the owner of the database. An embedded database is also migrated by `serve` itself.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    click.echo(run(lambda: _migrate(settings)))


async def _migrate(settings: Settings) -> str:
    async with database_server(settings) as server:
        before = await current_revision(server.owner_dsn)
        check_known(before)
        await upgrade(server.owner_dsn)
    return f"the database is up to date ({before or 'empty'} -> {head_revision()})"
