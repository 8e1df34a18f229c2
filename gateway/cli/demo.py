"""`ledgergraph demo`: the sample company, its source systems and the gateway in one command."""

from __future__ import annotations

import dataclasses
import socket
import sys
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import click

from gateway.authentication import SCOPES, issue_token
from gateway.cli.common import examples, faults, run
from gateway.composition import gateway_over
from gateway.config import JwtSettings, ServerSettings, Settings
from gateway.demo.activity import ACTS_FILE
from gateway.demo.commands import command_that_adds_the_rule, commands_to_paste
from gateway.demo.live import Pace, alive
from gateway.demo.rulebooks import RULES_FOLDER, provide_rules, write_rules
from gateway.demo.seeding import STATE_FILE, DemoState, load_state, seed
from gateway.demo.systems import BANK_FOLDER, INBOX_FOLDER, source_systems
from gateway.logs import configure
from gateway.openbooks import Books, books
from gateway.serving import bound_socket, raise_open_files, serve_gateway
from gateway.tokens import SECRET_FILE, signing_secret
from sources.database.removal import remove_database

_TTL = 86_400


@click.command("demo", epilog=examples("ledgergraph demo", "ledgergraph demo --fresh --port 8080"))
@click.option(
    "--data-dir",
    default=Path(".demo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the sample company is kept.",
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="0: any free port.")
@click.option("--fresh", is_flag=True, help="Begin anew: remove the books of an earlier demo.")
def command(data_dir: Path, port: int, fresh: bool) -> None:
    """Serve the sample company Acme on this machine.

    Two ledgers with a year of books, local servers that stand for Stripe and Xero, and folders with bank statements and suppliers'
    e-invoices. They change by themselves, and what happens there becomes entries. The first start takes some seconds; later ones keep the data. Ctrl-C stops everything.
    """
    configure("warning")
    with faults():
        listening = bound_socket("127.0.0.1", port)
    raise_open_files()
    settings = Settings(data_dir=data_dir, server=ServerSettings(port=port), jwt=JwtSettings())
    run(lambda: _demo(settings, listening, fresh))


async def _demo(settings: Settings, listening: socket.socket, fresh: bool) -> None:
    today = datetime.now(UTC).date()
    if fresh:
        also = (SECRET_FILE, STATE_FILE, ACTS_FILE, RULES_FOLDER, BANK_FOLDER, INBOX_FOLDER)
        await remove_database(settings.data_dir, also=also)
    click.echo(f"starting PostgreSQL in {settings.data_dir}", err=True)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(books(settings))
        state = await _provide_books(opened, settings.data_dir, today)
        systems = await stack.enter_async_context(source_systems(settings.data_dir, state.seed, state.through))
        write_rules(settings.data_dir)
        await provide_rules(opened)
        settings = dataclasses.replace(settings, sources=systems.sources)
        found = await stack.enter_async_context(gateway_over(settings, opened))
        token = issue_token(signing_secret(settings), subject="demo", scopes=sorted(SCOPES), ledgers=None, ttl=_TTL)
        adds_rule = command_that_adds_the_rule(settings.data_dir)
        await stack.enter_async_context(alive(opened, systems, Pace(), _say, adds_rule))
        await serve_gateway(found, listening, lambda address: click.echo(commands_to_paste(address, token, today)))
    click.echo("stopped", err=True)


def _say(line: str) -> None:
    click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {line}")


async def _provide_books(opened: Books, data_dir: Path, today: date) -> DemoState:
    if load_state(data_dir, today).seeded:
        return await seed(opened, data_dir, today, lambda done, total: None)
    with click.progressbar(length=1, label="posting a year of books", file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return await seed(opened, data_dir, today, progress)
