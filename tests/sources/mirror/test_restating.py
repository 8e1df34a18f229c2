"""Settings of a folder of files that change: what was read under the old ones never counts beside what files state under the new."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sources.connectors.registry import KINDS
from sources.database.pool import Database
from sources.errors import FilesMissing, InvalidArgument, InvalidRequest, SourceUnavailable
from sources.mirror.refresh import Refresher
from sources.mirror.restating import Rest
from sources.mirror.submitting import Submission
from tests.sources.mirror.exports import COLUMNS, MENDED, Exports

ROOT = Path(__file__).parents[3]


@pytest.fixture
def exports(
    tmp_path: Path, owner: asyncpg.Connection[Any], refresher: Callable[..., Refresher], ledgers: Mapping[str, int]
) -> Exports:
    folder = tmp_path / "exports"
    folder.mkdir()
    return Exports(folder, owner, refresher)


async def test_a_source_whose_columns_changed_stops_until_its_files_are_read_again(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    assert await exports.pull() is None
    exports.columns = MENDED
    exports.write("b.csv", "02 20 fee Bob", "03 30 tax Cid")
    error = await exports.pull()
    assert error is not None
    assert "(columns)" in error
    assert "sync bank --again" in error
    assert await exports.counted() == ["01 1000", "02 2000"]
    assert await exports.issues() == [("SETTINGS_CHANGED", "bank")]
    restated = await exports.again()
    assert (restated.files, restated.deleted, restated.kept) == (2, 1, 0)
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob", "03 3000 Cid"]
    assert await exports.issues() == []
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob", "03 3000 Cid"]


async def test_settings_that_are_put_back_go_on_as_if_nothing_was(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    exports.columns = MENDED
    assert await exports.pull() is not None
    exports.columns = dict(reversed(COLUMNS.items()))
    exports.write("b.csv", "02 20 fee Bob")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 2000"]
    assert await exports.issues() == []


async def test_settings_that_read_nothing_yet_are_mended_freely(exports: Exports) -> None:
    exports.columns = {"date": "Datum", "amount": "Amount"}
    exports.write("a.csv", "01 10 rent Ann")
    assert await exports.pull() is None
    assert await exports.counted() == []
    exports.columns = MENDED
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000 Ann"]
    assert await exports.issues() == []


async def test_files_that_were_moved_are_read_again_and_stay_where_they_are(exports: Exports) -> None:
    exports.options = {"when_read": "move"}
    exports.write("a.csv", "01 10 rent Ann")
    exports.write("bank-2/b.csv", "02 20 fee Bob")
    await exports.pull()
    assert sorted(each.name for each in (exports.folder / "done").rglob("*.csv")) == ["a.csv", "b.csv"]
    exports.columns = MENDED
    restated = await exports.again()
    assert (restated.files, restated.deleted) == (2, 2)
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob"]
    exports.write("c.csv", "02 20 fee Bob")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob"]
    cursor = await exports.owner.fetchval("SELECT cursor FROM mirror.source_state")
    assert "done" not in cursor


async def test_what_was_refused_and_reads_now_is_read_and_then_moved(exports: Exports) -> None:
    exports.options = {"when_read": "move"}
    exports.put("a.csv", "Day;Amount;Text;Who;Extra\n2026-03-01;10;rent;Ann;")
    exports.put("b.csv", "Day;Amount;Text\n2026-03-02;20;fee")
    exports.columns = MENDED
    await exports.pull()
    assert (exports.folder / "quarantine" / "b.csv").exists()
    exports.columns = COLUMNS
    await exports.again()
    assert await exports.counted() == ["01 1000", "02 2000"]
    assert await exports.pull() is None
    assert not (exports.folder / "quarantine" / "b.csv").exists()
    assert await exports.issues() == []


async def test_files_that_are_gone_are_named_and_nothing_changes_until_somebody_decides(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    exports.write("b.csv", "02 20 fee Bob")
    await exports.pull()
    before = await exports.held()
    exports.columns = MENDED
    (exports.folder / "a.csv").unlink()
    with pytest.raises(FilesMissing, match=r"a\.csv: it is not there \(1 document\)"):
        await exports.again()
    assert await exports.held() == before
    restated = await exports.again(Rest.KEEP)
    assert (restated.deleted, restated.kept) == (1, 1)
    assert await exports.counted() == ["01 1000", "02 2000 Bob"]
    assert (await exports.again()).kept == 1, "what a person kept is kept"
    restated = await exports.again(Rest.DELETE)
    assert (restated.deleted, restated.kept) == (1, 0)
    assert await exports.counted() == ["02 2000 Bob"]


async def test_a_bank_that_changes_its_form_keeps_what_the_old_one_stated(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    exports.columns = {"date": "Booked", "amount": "Sum", "counterparty": "Payee"}
    with pytest.raises(FilesMissing, match=r"a\.csv: it has no column 'Booked'"):
        await exports.again()
    await exports.again(Rest.KEEP)
    exports.put("b.csv", "Booked;Sum;Payee\n2026-03-03;30;Cid")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000 Cid"]
    overlapping = exports.put("c.csv", "Booked;Sum;Payee\n2026-03-02;20;Bob\n2026-03-04;40;Dan")
    error = await exports.pull()
    assert error is not None
    assert "(c.csv and a.csv: 2026-03-02 to 2026-03-02)" in error
    assert "count twice" in error
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000 Cid"]
    overlapping.unlink()
    exports.put("c.csv", "Booked;Sum;Payee\n2026-03-04;40;Dan")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000 Cid", "04 4000 Dan"]


async def test_what_is_kept_never_stands_beside_files_of_the_same_days(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    exports.write("b.csv", "02 20 fee Bob", "03 30 tax Cid")
    await exports.pull()
    before = await exports.held()
    exports.columns = MENDED
    (exports.folder / "a.csv").unlink()
    with pytest.raises(InvalidRequest, match=r"Nothing was changed: .*2026-03-02 to 2026-03-02"):
        await exports.again(Rest.KEEP)
    assert await exports.held() == before


async def test_ids_that_the_bank_gives_let_what_is_kept_overlap(exports: Exports) -> None:
    exports.columns = {**COLUMNS, "id": "Who"}
    exports.write("a.csv", "01 10 rent 11", "02 20 fee 12")
    exports.write("b.csv", "02 20 fee 12", "03 30 tax 13")
    await exports.pull()
    exports.columns = {"date": "Day", "amount": "Amount", "id": "Who"}
    (exports.folder / "a.csv").unlink()
    await exports.again(Rest.KEEP)
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000"]


async def test_a_file_that_grew_leaves_nothing_to_decide(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    exports.columns = MENDED
    restated = await exports.again()
    assert (restated.deleted, restated.kept) == (2, 0)
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob"]


async def test_a_document_that_came_again_counts_as_its_last_file_states_it(exports: Exports) -> None:
    exports.columns = {**COLUMNS, "id": "Who"}
    exports.options = {"when_read": "move"}
    exports.write("z.csv", "01 10 rent 11")
    await exports.pull()
    exports.write("a.csv", "01 12 rent 11")
    await exports.pull()
    assert await exports.counted() == ["01 1200"]
    await exports.again()
    assert await exports.counted() == ["01 1200"]


async def test_settings_that_send_documents_elsewhere_stop_too_and_moved_files_follow(
    exports: Exports, ledgers: Mapping[str, int]
) -> None:
    exports.options = {"when_read": "move"}
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    exports.more = {"ledger": "acme-us"}
    error = await exports.pull()
    assert error is not None
    assert "(ledger)" in error
    assert await exports.counted() == ["01 1000"]
    await exports.again()
    assert await exports.counted() == ["01 1000"]
    where = "SELECT ledger_id FROM mirror.bank_statement WHERE deleted_at IS NULL"
    assert [row[0] for row in await exports.owner.fetch(where)] == [ledgers["acme-us"]]
    assert await exports.pull() is None
    assert await exports.issues() == []


async def test_what_is_kept_in_another_ledger_is_not_told_of_in_this_one_too(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    exports.write("b.csv", "02 20 fee Bob", "03 30 tax Cid")
    await exports.pull()
    before = await exports.held()
    exports.more = {"ledger": "acme-us"}
    (exports.folder / "a.csv").unlink()
    with pytest.raises(InvalidRequest, match=r"b\.csv and a\.csv: 2026-03-02 to 2026-03-02"):
        await exports.again(Rest.KEEP)
    assert await exports.held() == before
    (exports.folder / "b.csv").unlink()
    exports.write("c.csv", "04 40 toll Dan")
    await exports.again(Rest.KEEP)
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000", "04 4000"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"account": "main"}, {"account": "DE02120300000000202051"}),
        ({"account": "main", "currency": "USD"}, {"account": "DE02120300000000202051", "currency": "EUR"}),
    ],
)
async def test_what_is_kept_of_an_account_that_was_stated_wrongly_counts_once(
    exports: Exports, wrong: dict[str, str], right: dict[str, str]
) -> None:
    exports.options = wrong
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    (exports.folder / "a.csv").unlink()
    exports.options = right
    exports.write("b.csv", "03 30 tax Cid")
    assert (await exports.again(Rest.KEEP)).kept == 1
    exports.write("c.csv", "01 10 rent Ann", "02 20 fee Bob", "04 40 toll Dan")
    assert "count twice (c.csv and a.csv: 2026-03-01 to 2026-03-02)" in (await exports.pull() or "")
    assert await exports.counted() == ["01 1000", "02 2000", "03 3000"]


async def test_what_is_kept_of_another_account_lets_files_tell_of_its_days(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    (exports.folder / "a.csv").unlink()
    exports.options = {"account": "DE02120300000000202051"}
    exports.write("b.csv", "01 11 rent Cid", "02 21 fee Dan")
    assert (await exports.again(Rest.KEEP)).kept == 1
    assert await exports.pull() is None


async def test_a_folder_of_another_kind_is_read_again_too(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    exports.more = {"kind": "bank-statements", "options": {"path": str(exports.folder)}}
    assert "(kind" in (await exports.pull() or "")
    with pytest.raises(FilesMissing, match=r"a\.csv: "):
        await exports.again()
    await exports.again(Rest.KEEP)
    daily = (
        ":20:1\n:25:DE89370400440532013000\n:28C:1/1\n:60F:C2603{0}EUR0,\n:61:2603{0}C10,NTRFX\n:62F:C2603{0}EUR10,\n-"
    )
    exports.put("b.sta", daily.format("02"))
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 1000"]
    exports.put("c.sta", daily.format("01"))
    assert "c.sta and a.csv: 2026-03-01" in (await exports.pull() or "")
    assert await exports.counted() == ["01 1000", "02 1000"]


async def test_a_folder_that_lies_elsewhere_now_is_the_same_source(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    before = await exports.held()
    exports.folder = exports.folder.rename(exports.folder.parent / "elsewhere")
    assert await exports.pull() is None
    assert await exports.held() == before
    exports.write("b.csv", "02 11 rent Cid")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 1100"]
    restated = await exports.again()
    assert (restated.changed, restated.deleted) == (0, 0)


async def test_another_folder_lets_go_of_nothing_until_somebody_says_so(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    exports.folder = exports.folder.parent / "another"
    exports.folder.mkdir()
    exports.write("b.csv", "02 11 rent Cid")
    assert await exports.pull() is None
    assert await exports.counted() == ["01 1000", "02 1100"]
    assert (await exports.again(Rest.DELETE)).deleted == 1
    assert await exports.counted() == ["02 1100"]


async def test_files_that_were_sent_are_files(exports: Exports) -> None:
    refresher = exports.open()
    data = exports.write("a.csv", "01 10 rent Ann").read_bytes()
    (exports.folder / "a.csv").unlink()
    documents = await refresher.read_file("bank", data, "a.csv")
    sent = [[Submission(each, file=("a.csv", "0" * 32)) for each in documents]]
    await refresher.submit("bank", sent, "robot")
    exports.columns = MENDED
    with pytest.raises(SourceUnavailable, match="columns"):
        await exports.open().submit("bank", sent, "robot")
    with pytest.raises(FilesMissing, match=r"a\.csv: it is not there"):
        await exports.again()
    await exports.again(Rest.DELETE)
    assert await exports.counted() == []


async def test_it_is_for_sources_of_files_that_were_read(exports: Exports) -> None:
    with pytest.raises(InvalidArgument, match="not read yet"):
        await exports.again()


async def test_a_folder_that_cannot_be_read_changes_nothing(exports: Exports) -> None:
    exports.write("a.csv", "01 10 rent Ann")
    await exports.pull()
    before = await exports.held()
    exports.folder.rename(exports.folder.parent / "gone")
    with pytest.raises(SourceUnavailable, match="does not exist"):
        await exports.again(Rest.DELETE)
    assert await exports.held() == before


async def test_several_at_once_come_one_after_the_other(exports: Exports, database_url: str) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    exports.columns = MENDED
    settings = exports.settings
    async with Database(database_url, readers=2, writers=2) as other:
        elsewhere = Refresher(other, [(settings, KINDS[settings.kind].connector(name="bank", **settings.options))])
        await asyncio.gather(
            exports.again(), elsewhere.restate("bank", None, lambda *_: None), exports.pull(), elsewhere.sync("bank")
        )
        await elsewhere.close()
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob"]
    assert await exports.pull() is None


async def test_one_that_is_killed_leaves_everything_as_it_was(exports: Exports, database_url: str) -> None:
    exports.write("a.csv", "01 10 rent Ann", "02 20 fee Bob")
    await exports.pull()
    before = await exports.held(), await exports.counted(), await exports.issues()
    reading = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.sources.mirror.restating_process",
        database_url,
        str(exports.folder),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert reading.stdout is not None
        while (line := await asyncio.wait_for(reading.stdout.readline(), 60)) != b"reading\n":
            assert line
    finally:
        reading.kill()
        await reading.wait()
    assert (await exports.held(), await exports.counted(), await exports.issues()) == before
    assert await exports.pull() is None
    exports.columns = MENDED
    await exports.again()
    assert await exports.counted() == ["01 1000 Ann", "02 2000 Bob"]


async def test_payroll_runs_are_stated_anew(exports: Exports) -> None:
    exports.more = {"kind": "payroll-csv"}
    columns = {"employee_id": "No", "net": "Net", "pay_date": "Paid"}
    form = {"currency": "EUR", "columns": columns, "format": {"delimiter": ";"}, "path": str(exports.folder)}
    exports.put("a.csv", "No;Net;Paid;Run;Next\n1;100;2026-03-31;R1;2026-04-30\n2;200;2026-03-31;R1;2026-04-30")
    runs = "SELECT external_id, net FROM mirror.payroll_run WHERE deleted_at IS NULL ORDER BY 1"

    def settings(options: dict[str, Any]) -> None:
        exports.more = {"kind": "payroll-csv", "options": options}

    settings(form)
    await exports.pull()
    settings({**form, "columns": {**columns, "run": "Run"}})
    assert "(columns)" in (await exports.pull() or "")
    await exports.again()
    assert [tuple(row) for row in await exports.owner.fetch(runs)] == [("R1", 30000)]
    (exports.folder / "a.csv").unlink()
    settings({**form, "columns": {**columns, "run": "Run"}, "currency": "USD"})
    assert "(currency)" in (await exports.pull() or "")
    await exports.again(Rest.KEEP)
    exports.put("b.csv", "No;Net;Paid;Run\n1;100;2026-03-31;R2")
    assert "count twice" in (await exports.pull() or "")
    assert [tuple(row) for row in await exports.owner.fetch(runs)] == [("R1", 30000)]
