"""A folder of a bank's tables, read by settings that a test changes, and what is held of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from sources.connectors.registry import KINDS
from sources.mirror.refresh import Refresher
from sources.mirror.restating import Rest, Restated
from sources.mirror.settings import SourceSettings

LONG_AGO = 1_700_000_000
COLUMNS = {"date": "Day", "amount": "Amount", "description": "Text"}
MENDED = {**COLUMNS, "counterparty": "Who"}
HEADINGS = "Day;Amount;Text;Who"
IBAN = "DE89370400440532013000"
VISIBLE = """
SELECT booked_on::text, amount, counterparty FROM mirror.bank_transaction WHERE source = 'bank' AND visible ORDER BY 1, 2, 3"""
HELD = """
SELECT s.external_id, t.external_id, t.visible, s.content_hash FROM mirror.bank_statement s
JOIN mirror.bank_transaction t ON t.ledger_id = s.ledger_id AND t.source = s.source AND t.statement = s.external_id
WHERE s.source = 'bank' AND s.deleted_at IS NULL AND t.deleted_at IS NULL ORDER BY 1, 2"""


class Exports:
    """`columns`, `options`: the settings as they are now."""

    def __init__(self, folder: Path, owner: asyncpg.Connection[Any], refresher: Callable[..., Refresher]) -> None:
        self.folder = folder
        self.owner = owner
        self.columns: dict[str, Any] = dict(COLUMNS)
        self.options: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.written = 0
        self._refresher = refresher

    @property
    def settings(self) -> SourceSettings:
        options = {
            "path": str(self.folder),
            "account": IBAN,
            "currency": "EUR",
            "columns": self.columns,
            "format": {"delimiter": ";"},
            **self.options,
        }
        return SourceSettings(
            **{"name": "bank", "kind": "bank-csv", "ledger": "acme-eu", "options": options, **self.more}
        )

    def open(self) -> Refresher:
        """With the settings as they are now."""
        settings = self.settings
        return self._refresher((settings, KINDS[settings.kind].connector(name="bank", **settings.options)))

    def write(self, name: str, *rows: str, headings: str = HEADINGS) -> Path:
        """A row is day, amount, text and payer: "05 10 rent Ann" is of 5 March."""
        lines = [headings]
        for row in rows:
            day, amount, text, who = row.split()
            lines.append(f"2026-03-{day};{amount};{text};{who}")
        return self.put(name, "\n".join(lines))

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        self.written += 1
        os.utime(path, (LONG_AGO + self.written, LONG_AGO + self.written))
        return path

    def move(self, name: str, into: str = "done") -> None:
        (self.folder / into).mkdir(exist_ok=True)
        (self.folder / name).rename(self.folder / into / name)

    async def pull(self) -> str | None:
        """What is wrong with it, None: nothing."""
        return (await self.open().sync("bank")).error

    async def again(self, rest: Rest | None = None) -> Restated:
        return await self.open().restate("bank", rest, lambda files, documents: None)

    async def counted(self) -> list[str]:
        """Day, amount in minor units and payer of the bank transactions that count."""
        rows = await self.owner.fetch(VISIBLE)
        return [" ".join(str(each) for each in row if each is not None).removeprefix("2026-03-") for row in rows]

    async def held(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.owner.fetch(HELD)]

    async def issues(self) -> list[tuple[str, str]]:
        rows = await self.owner.fetch("SELECT code, subject FROM mirror.issue WHERE closed_at IS NULL ORDER BY 1, 2")
        return [tuple(row) for row in rows]
