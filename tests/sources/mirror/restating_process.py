"""Reads a bank's files again in a process of its own, which stops in the middle, until it is killed:
`python restating_process.py <database url> <folder>`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from sources.connectors.bank_csv import BankCsvConnector
from sources.database.pool import Database
from sources.documents import Page
from sources.mirror.refresh import Refresher
from tests.sources.mirror.exports import MENDED, Exports


class Stopping(BankCsvConnector):
    """Waits for ever when everything was stored but the last page."""

    async def restate(self) -> AsyncGenerator[Page, None]:
        async for page in super().restate():
            if page.complete:
                print("reading", flush=True)
                await asyncio.Event().wait()
            yield page


async def main(url: str, folder: Path) -> None:
    nobody: Any = None
    exports = Exports(folder, nobody, nobody)
    exports.columns = MENDED
    settings = exports.settings
    async with Database(url, readers=2, writers=2) as database:
        refresher = Refresher(database, [(settings, Stopping(name="bank", **settings.options))])
        await refresher.restate("bank", None, lambda files, documents: None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
