"""Random histories of a bank's folder: files come, come again, grow, go and are moved, settings change. Whatever happens, no line of the
bank counts twice, and a reading of all files again leaves what a first reading of them would give."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sources.connectors.registry import KINDS
from sources.errors import FilesMissing, InvalidRequest
from sources.mirror.refresh import Refresher
from sources.mirror.restating import Rest
from tests.sources.mirror.exports import Exports

LAYOUTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("Day;Amount;Text;Who", {"date": "Day", "amount": "Amount", "description": "Text"}),
    ("Day;Amount;Text;Who", {"date": "Day", "amount": "Amount", "description": "Text", "counterparty": "Who"}),
    ("Day;Amount;Text;Who", {"date": 1, "amount": 2, "reference": 3}),
    ("Booked;Sum;Purpose;Payee", {"date": "Booked", "amount": "Sum", "counterparty": "Payee"}),
)
DAYS = 20
STATEMENTS = """
SELECT external_id FROM mirror.bank_statement WHERE source = 'bank' AND deleted_at IS NULL ORDER BY 1"""
COUNTED = "SELECT amount FROM mirror.bank_transaction WHERE source = 'bank' AND visible ORDER BY 1"


class History:
    """`bank`: what happened, by day; an amount is one line's alone."""

    def __init__(self, exports: Exports, seed: int) -> None:
        self.exports = exports
        self.chance = random.Random(seed)
        self.bank = {
            day: [f"{day}.{line:02}" for line in range(1, self.chance.randint(1, 3) + 1)] for day in range(1, DAYS + 1)
        }
        self.layout = 0
        self.exports.options = {"when_read": self.chance.choice(["keep", "move"])}
        self.settle()

    def settle(self) -> None:
        self.exports.columns = dict(LAYOUTS[self.layout][1])

    def files(self) -> list[Path]:
        return sorted(path for path in self.exports.folder.rglob("*.csv"))

    def drop(self) -> None:
        """Whole days, in the bank's form of this time."""
        first = self.chance.randint(1, DAYS)
        days = range(first, min(first + self.chance.randint(0, 6), DAYS) + 1)
        rows = [f"2026-03-{day:02};{line};t{line};p{line}" for day in days for line in self.bank[day]]
        name = self.chance.choice(
            ["a.csv", "b.csv", f"{self.chance.random()}.csv", f"branch/{self.chance.random()}.csv"]
        )
        self.exports.put(name, "\n".join([LAYOUTS[self.layout][0], *rows]))

    def send_again(self) -> None:
        if files := self.files():
            self.exports.put(f"again-{self.chance.random()}.csv", self.chance.choice(files).read_text())

    def remove(self) -> None:
        if files := self.files():
            self.chance.choice(files).unlink()

    def change(self) -> None:
        self.layout = self.chance.randrange(len(LAYOUTS))
        self.settle()

    async def pull(self) -> None:
        await self.exports.pull()

    async def lose_and_keep(self) -> None:
        """The bank changes its form, and an old file is gone."""
        self.remove()
        self.change()
        await self.again(Rest.KEEP)

    async def decide(self) -> None:
        await self.again(self.chance.choice([None, Rest.KEEP, Rest.DELETE]))

    async def again(self, rest: Rest | None) -> None:
        before = await self.exports.held()
        try:
            restated = await self.exports.again(rest)
        except (FilesMissing, InvalidRequest):
            assert await self.exports.held() == before
            return
        if not restated.kept:
            await self.is_as_read_first()

    async def is_as_read_first(self) -> None:
        settings = self.exports.settings
        connector = KINDS[settings.kind].connector(name="fresh", **settings.options)
        documents = {each.external_id: each async for page in connector.restate() for each in page.documents}
        held = [row[0] for row in await self.exports.owner.fetch(STATEMENTS)]
        assert held == sorted(documents)
        stated = {each.external_id: each.amount for document in documents.values() for each in document.transactions}
        assert [row[0] for row in await self.exports.owner.fetch(COUNTED)] == sorted(stated.values())

    async def step(self) -> None:
        acts: list[Callable[[], Any]] = [self.drop, self.drop, self.send_again, self.remove, self.change, self.pull]
        acts += [self.pull, self.pull, self.decide, self.lose_and_keep]
        done = self.chance.choice(acts)()
        if done is not None:
            await done
        counted = [row[0] for row in await self.exports.owner.fetch(COUNTED)]
        assert len(counted) == len(set(counted)), "a line of the bank counts twice"


@pytest.mark.parametrize("seed", range(4))
async def test_no_line_of_the_bank_counts_twice(
    tmp_path: Path,
    owner: asyncpg.Connection[Any],
    refresher: Callable[..., Refresher],
    ledgers: Mapping[str, int],
    seed: int,
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    history = History(Exports(folder, owner, refresher), seed)
    history.drop()
    await history.pull()
    for _ in range(60):
        await history.step()
    await history.exports.again(Rest.DELETE)
    await history.is_as_read_first()
    assert await history.exports.pull() is None
    await history.is_as_read_first()
