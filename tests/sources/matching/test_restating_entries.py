"""A bank's files that are read again under other settings, and what the books and the matches make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources.ledger.rules import LAST_DATE
from sources.mirror.refresh import Refresher
from sources.mirror.restating import Rest
from tests.sources.matching.trade import ACCOUNTS, BANK, Trade, invoice
from tests.sources.mirror.exports import MENDED, Exports
from tests.sources.pipeline.company import CUTOVER

CLEARING = ACCOUNTS["bank_clearing"][0]


@pytest.fixture
async def exports(trade: Trade, tmp_path: Path) -> AsyncIterator[Exports]:
    made: list[Refresher] = []

    def refresher(*sources: Any) -> Refresher:
        made.append(Refresher(trade.company.database, sources))
        return made[-1]

    found = Exports(tmp_path, trade.company.owner, refresher)
    found.options = {"account": BANK}
    found.more = {"ledger": trade.company.ledger.code, "post_from": CUTOVER}
    yield found
    for each in made:
        await each.close()


async def test_what_is_told_anew_is_reversed_and_posted_once(trade: Trade, exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 -4 fee Bob")
    assert await exports.pull() is None
    await trade.company.look()
    nets = await trade.company.nets()
    assert nets["1000"] == 600
    exports.columns = MENDED
    await exports.pull()
    await trade.company.look()
    assert len(await trade.company.entries()) == 2
    await exports.again()
    await trade.company.look()
    assert await trade.company.nets() == nets
    entries = await trade.company.entries()
    assert sorted(day for day, reverses, _ in entries if reverses) == ["2026-03-01", "2026-03-02"]
    assert len(entries) == 6
    await trade.is_sound()


async def test_a_reading_that_changes_no_id_changes_no_entry(trade: Trade, exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    await trade.company.look()
    await exports.again()
    await trade.company.look()
    assert len(await trade.company.entries()) == 1


async def test_in_closed_periods_what_is_told_anew_moves_to_the_first_open_day(trade: Trade, exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    await trade.company.look()
    nets = await trade.company.nets()
    await trade.company.lock(date(2026, 3, 31))
    exports.columns = MENDED
    await exports.again()
    await trade.company.look()
    assert [day for day, _, _ in await trade.company.entries()] == ["2026-03-01", "2026-04-01", "2026-04-01"]
    assert await trade.company.nets() == nets
    await trade.is_sound()


async def test_what_cannot_be_reversed_stands_with_an_issue_until_it_can(trade: Trade, exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    await trade.company.look()
    nets = await trade.company.nets()
    await trade.company.lock(LAST_DATE)
    exports.columns = MENDED
    await exports.again()
    await trade.company.look()
    assert [code for (code, _), is_open in (await trade.company.issues()).items() if is_open] == ["INVALID_DATE"] * 2
    assert await trade.company.nets() == nets
    await trade.company.lock(None)
    await trade.company.hurry()
    await trade.company.look()
    assert await trade.company.nets() == nets
    assert len(await trade.company.entries()) == 3
    await trade.is_sound()


async def test_what_is_told_anew_and_cannot_be_posted_is_an_issue_until_it_can(trade: Trade, exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    await trade.company.look()
    nets = await trade.company.nets()
    await trade.company.owner.execute("UPDATE ledger.account SET active = false WHERE code = '1000'")
    exports.columns = MENDED
    await exports.again()
    await trade.company.look()
    codes = [code for (code, _), is_open in (await trade.company.issues()).items() if is_open]
    assert codes == ["INACTIVE_ACCOUNT"]
    assert await trade.company.nets() == {}
    await trade.company.owner.execute("UPDATE ledger.account SET active = true WHERE code = '1000'")
    await trade.company.hurry()
    await trade.company.look()
    assert await trade.company.nets() == nets
    assert len(await trade.company.entries()) == 3
    await trade.is_sound()


async def test_matches_of_bank_lines_with_other_ids_are_told_and_made_anew(trade: Trade, exports: Exports) -> None:
    await trade.invoiced(invoice("D-2026-00001", 4900))
    exports.columns = {"date": "Day", "amount": "Amount", "reference": "Text"}
    exports.write("a.csv", "14 49.00 D-2026-00001 Globex")
    await exports.pull()
    await trade.company.look()
    assert len(await trade.live()) == 1
    exports.columns = {**exports.columns, "counterparty": "Who"}
    restated = await exports.again()
    assert (list(restated.matches), restated.by_people) == ([f"2026-03-14 {BANK} 49.00 EUR"], 0)
    await trade.company.look()
    assert len(await trade.live()) == 1
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()
    assert (await exports.again()).matches == []


async def test_what_is_kept_keeps_its_entries_and_matches(trade: Trade, exports: Exports) -> None:
    await trade.invoiced(invoice("D-2026-00001", 4900))
    exports.columns = {"date": "Day", "amount": "Amount", "reference": "Text"}
    exports.write("a.csv", "14 49.00 D-2026-00001 Globex")
    await exports.pull()
    await trade.company.look()
    before = await trade.company.entries(), await trade.live()
    exports.columns = MENDED
    (exports.folder / "a.csv").unlink()
    restated = await exports.again(Rest.KEEP)
    assert restated.matches == []
    await trade.company.look()
    assert (await trade.company.entries(), await trade.live()) == before
    await exports.again(Rest.DELETE)
    await trade.company.look()
    assert await trade.live() == {}
    assert await trade.net("receivable") == 4900
    await trade.is_sound()
