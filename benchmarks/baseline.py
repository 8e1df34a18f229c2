"""The gateway with a transaction for each mutation: `python -m benchmarks.baseline DATA_DIR`. For comparison alone.

All else is the product's: endpoint, planning, rules and the database function. It sends no NOTIFY, which is in its favour.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.composition import gateway_over
from gateway.config import Settings
from gateway.logs import configure
from gateway.openbooks import books
from gateway.running import run_until_stopped
from gateway.serving import bound_socket, raise_open_files, serve_gateway
from sources.ledger.batch import Item, post_batch
from sources.ledger.model import Draft, Outcome
from sources.ledger.posting import Poster


class TransactionPerMutation(Poster):
    """Posts each call at once, on a connection of its own, whatever else is waiting."""

    async def post(self, drafts: Sequence[Draft], *, atomic: bool = False) -> list[Outcome]:
        """One outcome for each draft, all of one ledger."""
        groups = [[Item.of(draft)] for draft in drafts]
        async with self._database.writer() as connection:
            return await post_batch(connection, drafts[0].ledger, groups)


async def serve(settings: Settings) -> None:
    listening = bound_socket(settings.server.host, 0)
    async with books(settings) as opened:
        posting = replace(opened, poster=TransactionPerMutation(opened.database, queue_limit=1))
        async with gateway_over(settings, posting) as gateway:
            await serve_gateway(gateway, listening, lambda address: print(f"serving {address}/graphql", flush=True))


if __name__ == "__main__":
    configure("info")
    raise_open_files()
    run_until_stopped(lambda: serve(Settings(data_dir=Path(sys.argv[1]))))
