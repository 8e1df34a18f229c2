"""`ledgergraph schema`: the schema in GraphQL's own language."""

from __future__ import annotations

import click

from gateway.cli.common import examples
from gateway.schema import build, sdl


@click.command("schema", epilog=examples("ledgergraph schema > schema.graphql"))
def command() -> None:
    """Print schema.graphql as the code has it."""
    click.echo(sdl(build()), nl=False)
