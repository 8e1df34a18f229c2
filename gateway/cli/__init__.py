"""The command line: `ledgergraph COMMAND`. Each command is a module of its own, loaded when it is asked for."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "demo": "gateway.cli.demo",
    "serve": "gateway.cli.serve",
    "migrate": "gateway.cli.migrate",
    "token": "gateway.cli.token",
    "import": "gateway.cli.import_file",
    "sources": "gateway.cli.sources",
    "check-source": "gateway.cli.check_source",
    "sync": "gateway.cli.sync",
    "issues": "gateway.cli.issues",
    "map": "gateway.cli.map",
    "rates": "gateway.cli.rates",
    "schema": "gateway.cli.schema",
    "verify": "gateway.cli.verify",
}


class Commands(click.Group):
    """Commands by name; a command's module is imported when it is looked up, so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ledgergraph", message="%(prog)s %(version)s")
def main() -> None:
    """One GraphQL graph over a general ledger and the finance systems that feed it.

    Settings also come from the environment: LEDGERGRAPH_DATABASE_URL, LEDGERGRAPH_DATABASE_DIRECT_URL,
    LEDGERGRAPH_DATA_DIR, LEDGERGRAPH_CONFIG, LEDGERGRAPH_JWT_SECRET or LEDGERGRAPH_JWKS_URL, LEDGERGRAPH_JWT_ISSUER,
    LEDGERGRAPH_JWT_AUDIENCE.
    """
