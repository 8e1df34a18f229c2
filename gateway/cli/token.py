"""`ledgergraph token`: a token of our own, signed with the secret that `serve` uses."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.authentication import SCOPES, issue_token
from gateway.cli.common import database_options, examples, faults, settings_from
from gateway.tokens import signing_secret, token_rules

_DEFAULT_SCOPES = "ledger:read ledger:post"


@click.command(
    "token",
    epilog=examples(
        "ledgergraph token --subject ana --ledgers acme-us",
        'ledgergraph token --subject nightly --scopes "ledger:read ledger:post" --ledgers acme-us,acme-eu --ttl 600',
        'TOKEN=$(ledgergraph token --data-dir .demo --subject me --scopes all --ledgers "*")',
    ),
)
@click.option("--subject", required=True, metavar="S", help="Who it is for; stands with every entry that it posts.")
@click.option("--scopes", default=_DEFAULT_SCOPES, show_default=True, help='Scopes with blanks between, or "all".')
@click.option("--ledgers", default="*", show_default=True, help='Codes of ledgers with commas between, or "*".')
@click.option(
    "--ttl", default=3600, show_default=True, type=click.IntRange(1, 86_400), help="Seconds that it is valid."
)
@database_options
def command(
    subject: str,
    scopes: str,
    ledgers: str,
    ttl: int,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Print a token, and nothing else.

    It is signed with LEDGERGRAPH_JWT_SECRET, or with the secret that is kept in the data directory. Scopes: ledger:read
    ledger:post ledger:admin invoices:read payroll:read payroll:personal cash:read sources:read
    sources:admin documents:submit mappings:approve matches:approve.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    with faults():
        token = issue_token(
            signing_secret(settings),
            subject=subject,
            scopes=sorted(SCOPES) if scopes.strip() == "all" else scopes.replace(",", " ").split(),
            ledgers=None if ledgers.strip() == "*" else ledgers.replace(",", " ").split(),
            ttl=ttl,
            rules=token_rules(settings),
        )
    click.echo(token)
