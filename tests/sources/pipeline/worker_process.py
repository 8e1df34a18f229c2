"""A worker in a process of its own, until it is killed: `python worker_process.py <database url>`."""

from __future__ import annotations

import asyncio
import sys

from sources.database.pool import Database
from sources.ledger.posting import Poster
from sources.pipeline.worker import Pipeline


async def main(url: str) -> None:
    async with Database(url, readers=2, writers=4) as database:
        print("ready", flush=True)
        await Pipeline(database, Poster(database, queue_limit=20_000), batch=20).run_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
