"""`ledgergraph serve`: the gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.common import database_options, examples, faults, run, settings_from
from gateway.serving import bound_socket, raise_open_files, serve_here
from gateway.workers import serve_in_workers


@click.command(
    "serve",
    epilog=examples(
        "ledgergraph serve",
        "ledgergraph serve --data-dir /var/lib/ledgergraph --config sources.toml --port 8080",
        "ledgergraph serve --database-url postgresql://gateway@db.internal/books --workers 4",
    ),
)
@click.option("--host", metavar="ADDRESS", help="Where to listen (default 127.0.0.1).")
@click.option("--port", type=int, metavar="N", help="Where to listen (default 8000; 0: any free port).")
@click.option("--workers", type=int, metavar="N", help="Processes that share the port (default 1).")
@database_options
def command(
    host: str | None,
    port: int | None,
    workers: int | None,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Serve the graph at /graphql.

    An embedded database is started and migrated. A database of your own has to be up to date: see `ledgergraph migrate`.
    Without JWT settings, tokens are checked with a secret that is kept in the data directory: see `ledgergraph token`.
    """
    settings = settings_from(
        quiet=False, host=host, port=port, workers=workers, data_dir=data_dir, database_url=database_url, config=config
    )
    with faults():
        socket = bound_socket(settings.server.host, settings.server.port)
    raise_open_files()
    if settings.server.workers == 1:
        run(lambda: serve_here(settings, socket, announce=_announce))
    else:
        run(lambda: serve_in_workers(settings, socket, announce=_announce))


def _announce(address: str) -> None:
    click.echo(f"serving {address}/graphql")
