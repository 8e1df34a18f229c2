"""Storing pages: what is written, what is left alone, what is deleted, and what becomes an issue."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sources.documents import Deletion, InvoiceLine, Page, Problem, TaxAmount

DAY = date(2026, 3, 5)


async def test_an_invoice_keeps_every_value_exactly(
    kit: Any, pull: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    line = InvoiceLine(amount=10**15, description="Widgets", quantity="3", tax=190, service_from=DAY)
    invoice = kit.invoice(
        lines=(line,),
        taxes=(TaxAmount(amount=-190, rate="19", code="DE"),),
        subtotal=-(10**15),
        raw={"exact": Decimal("0.10"), "huge": 2**70, "deep": [{"a": None}]},
    )
    await pull(kit.stripe(), kit.Script(*kit.pages([invoice])))
    row = await owner.fetchrow("SELECT * FROM mirror.invoice")
    assert row["ledger_id"] == ledgers["acme-us"]
    assert (row["subtotal"], row["issue_date"], row["party_name"]) == (-(10**15), date(2026, 3, 1), "Globex")
    assert (
        json.loads(row["lines"])[0] | {"amount": 10**15, "quantity": "3", "service_from": "2026-03-05"}
        == json.loads(row["lines"])[0]
    )
    assert json.loads(row["taxes"]) == [{"account": None, "amount": -190, "code": "DE", "rate": "19", "taxable": None}]
    assert json.loads(row["raw"]) == {"exact": "0.10", "huge": str(2**70), "deep": [{"a": None}]}


async def test_an_unchanged_document_is_not_rewritten(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    before = {row["external_id"]: row["version"] for row in await owner.fetch(VERSIONS)}
    script.pages = kit.pages([kit.invoice("a"), kit.invoice("b", total=5)])
    await pull(kit.stripe(), script)
    after = {row["external_id"]: row["version"] for row in await owner.fetch(VERSIONS)}
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
    assert await owner.fetchval("SELECT total FROM mirror.invoice WHERE external_id = 'b'") == 5


VERSIONS = "SELECT external_id, xmin::text AS version FROM mirror.invoice"


async def test_texts_that_postgres_cannot_hold_are_cleaned(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    await pull(kit.stripe(), kit.Script(*kit.pages([kit.invoice(number="a\0b\ud800c", raw={"k\0": "v\0\udfff"})])))
    row = await owner.fetchrow("SELECT number, raw FROM mirror.invoice")
    assert row["number"] == "a\ufffdb\ufffdc"
    assert json.loads(row["raw"]) == {"k\ufffd": "v\ufffd\ufffd"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 10**19},
        {"total": 10**15 + 1},
        {"lines": (InvoiceLine(amount=-(10**15) - 1),)},
        {"currency": "XXX"},
        {"external_id": ""},
        {"external_id": "x" * 1001},
        {"raw": {"a": object()}},
    ],
)
async def test_what_cannot_be_kept_becomes_an_issue_and_the_rest_is_stored(
    wrong: dict[str, Any], kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    bad = replace(kit.invoice("bad"), **wrong)
    answer = await pull(kit.stripe(), kit.Script(*kit.pages([bad, kit.invoice("good")])))
    assert not answer.stale
    assert [row[0] for row in await owner.fetch("SELECT external_id FROM mirror.invoice")] == ["good"]
    assert await owner.fetchval("SELECT code FROM mirror.issue WHERE closed_at IS NULL") == "UNREADABLE_RECORD"


async def test_a_document_twice_in_a_page_counts_as_stated_last(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    await pull(kit.stripe(), kit.Script(*kit.pages([kit.invoice(total=1), kit.invoice(total=2)])))
    assert [row[0] for row in await owner.fetch("SELECT total FROM mirror.invoice")] == [2]


async def test_a_stated_deletion_marks_and_a_new_statement_revives(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")]))
    await pull(kit.stripe(), script)
    gone = Deletion(kind="invoice", external_id="a")
    script.pages.append(Page(documents=(), cursor="2", deletions=[gone], complete=True))
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["b"]
    script.pages.append(Page(documents=[kit.invoice("a")], cursor="3", complete=True))
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]


LIVE = "SELECT external_id FROM mirror.invoice WHERE deleted_at IS NULL ORDER BY 1"


async def test_a_whole_listing_that_leaves_a_document_out_deletes_it(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    script.pages = kit.pages([kit.invoice("b")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["b"]


async def test_what_a_pull_lists_is_told_by_that_pull_and_not_by_the_one_before(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """An API that is listed whole once a day, and asked for what changed in between."""

    class AtTimes(kit.Script):  # type: ignore[misc]
        whole = True

        async def pull(self, cursor: str | None) -> Any:
            self.lists_everything = self.whole
            async for page in super().pull(None if self.whole else "0"):
                yield page

    script = AtTimes(*kit.pages([kit.invoice("a")], [kit.invoice("b"), kit.invoice("c")]))
    await pull(kit.stripe(), script)
    script.whole, script.pages = False, kit.pages([kit.invoice("c")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b", "c"]
    script.whole, script.pages = True, kit.pages([kit.invoice("a")], [kit.invoice("c")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "c"]


async def test_who_moves_what_was_read_is_asked_on_when_it_is_stored(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    stored = []

    class Moving(kit.Script):  # type: ignore[misc]
        waits_for_storing = True

        async def pull(self, cursor: str | None) -> Any:
            async for page in super().pull(cursor):
                yield page
                stored.append([row[0] for row in await owner.fetch(LIVE)])

    await pull(kit.stripe(), Moving(*kit.pages([kit.invoice("a")], [kit.invoice("b")])))
    assert stored == [["a"], ["a", "b"]]


async def test_what_is_listed_and_cannot_be_read_is_not_gone(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    """Also where it was known to be unreadable before the listing of everything."""
    unread = Page(documents=[kit.invoice("b")], cursor="1", complete=True, unread=[("invoice", "a")],
                  problems=[Problem(subject="invoice a", code="UNREADABLE_RECORD", message="It cannot be read.")])  # fmt: skip
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    script.pages = [unread]
    for everything in (False, True, True):
        script.lists_everything = everything
        await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]
    script.pages = kit.pages([kit.invoice("b")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["b"]


async def test_what_is_listed_without_saying_which_it_is_may_be_any(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """Nothing of its kind is gone, whatever anybody thinks of the issue, until everything says which it is."""
    trouble = [Problem(subject="an invoice without an id", code="UNREADABLE_RECORD", message="It cannot be read.")]
    nameless = Page(documents=[kit.invoice("b")], cursor="1", complete=True, unread=[("invoice", "")], problems=trouble)
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    script.pages = [nameless]
    await pull(kit.stripe(), script)
    await owner.execute("UPDATE mirror.issue SET closed_at = now(), resolved_at = now(), resolved_by = 'a person'")
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]
    script.pages = kit.pages([kit.invoice("b")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["b"]


async def test_what_was_missing_and_is_listed_again_unreadably_is_not_gone(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """It was missed beside another problem, which kept it; that one is solved."""
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    other = [Problem(subject="file x", code="UNREADABLE_FILE", message="It cannot be read.")]
    script.pages = [Page(documents=[kit.invoice("b")], cursor="1", complete=True, problems=other)]
    await pull(kit.stripe(), script)
    unread = [Problem(subject="invoice a", code="UNREADABLE_RECORD", message="It cannot be read.")]
    script.pages = [
        Page(documents=[kit.invoice("b")], cursor="1", complete=True, unread=[("invoice", "a")], problems=unread)
    ]
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]


async def test_nothing_is_deleted_by_a_listing_that_broke_off(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]), lists_everything=True)
    await pull(kit.stripe(), script)
    script.failure, script.fails_at = kit.Unavailable("It is closed."), 1
    assert (await pull(kit.stripe(), script)).stale
    script.failure = None
    script.pages = [Page(documents=[kit.invoice("a")], cursor="1")]
    assert "before it was complete" in (await pull(kit.stripe(), script)).error
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]


async def test_without_the_promise_to_list_everything_nothing_is_inferred(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")]))
    await pull(kit.stripe(), script)
    script.pages = [*script.pages, *kit.pages([kit.invoice("b")])]
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["a", "b"]


async def test_documents_of_a_file_that_broke_are_kept_until_it_reads_again(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """A file caught half written must not empty an account."""
    one, two = kit.statement("one", kit.moved("t1", 5, DAY)), kit.statement("two", kit.moved("t2", 7, DAY))
    script = kit.Script(*kit.pages([one, two]), lists_everything=True)
    await pull(kit.bank(), script)
    broken = Problem(subject="two.xml", code="UNREADABLE_FILE", message="It ends too early.")
    script.pages = kit.pages([one], problems=[broken])
    for _ in range(2):
        await pull(kit.bank(), script)
        assert [row[0] for row in await owner.fetch(VISIBLE)] == ["t1", "t2"]
    script.pages = kit.pages([one])
    await pull(kit.bank(), script)
    assert [row[0] for row in await owner.fetch(VISIBLE)] == ["t1"]


VISIBLE = "SELECT external_id FROM mirror.bank_transaction WHERE visible ORDER BY 1"


async def test_a_file_that_never_read_keeps_nothing_alive(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    one, two = kit.statement("one", kit.moved("t1", 5, DAY)), kit.statement("two", kit.moved("t2", 7, DAY))
    broken = Problem(subject="junk.xml", code="UNREADABLE_FILE", message="It is a cat.")
    script = kit.Script(*kit.pages([one, two], problems=[broken]), lists_everything=True)
    await pull(kit.bank(), script)
    script.pages = kit.pages([one], problems=[broken])
    await pull(kit.bank(), script)
    assert [row[0] for row in await owner.fetch(VISIBLE)] == ["t1"]


async def test_an_issue_opens_once_counts_and_closes_when_its_subject_reads_well(
    kit: Any, pull: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    bad = Problem(subject="invoice in_9", code="UNREADABLE_RECORD", message="No date.")
    script = kit.Script(*kit.pages([], problems=[bad]))
    await pull(kit.stripe(), script)
    script.pages.append(Page(documents=(), cursor="2", problems=[bad, bad], complete=True))
    await pull(kit.stripe(), script)
    row = await owner.fetchrow("SELECT * FROM mirror.issue")
    assert (row["ledger_id"], row["times"], row["closed_at"]) == (ledgers["acme-us"], 2, None)
    assert row["first_seen"] < row["last_seen"]
    script.pages.append(Page(documents=[kit.invoice("in_9")], cursor="3", complete=True))
    await pull(kit.stripe(), script)
    row = await owner.fetchrow("SELECT * FROM mirror.issue")
    assert (row["times"], row["closed_at"] is None) == (2, False)


async def test_a_document_that_moves_into_another_ledger_leaves_the_first(
    kit: Any, pull: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    statement = kit.statement("one", kit.moved("t1", 5, DAY))
    script = kit.Script(*kit.pages([statement]), lists_everything=True)
    await pull(kit.bank(kind="plaid"), script)
    moved = kit.bank(kind="plaid", accounts={statement.account.iban: "acme-us"})
    await pull(moved, script)
    rows = await owner.fetch("SELECT ledger_id, visible FROM mirror.bank_transaction ORDER BY visible")
    assert [tuple(row) for row in rows] == [(ledgers["acme-eu"], False), (ledgers["acme-us"], True)]
    accounts = await owner.fetch("SELECT ledger_id FROM mirror.bank_account WHERE deleted_at IS NULL")
    assert [row[0] for row in accounts] == [ledgers["acme-us"]]


async def test_new_settings_of_where_documents_belong_read_everything_anew(
    kit: Any, pull: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")]))
    await pull(kit.stripe(), script)
    await pull(kit.stripe(ledger="acme-eu"), script)
    assert script.pulls == [None, None]
    rows = await owner.fetch("SELECT ledger_id FROM mirror.invoice WHERE deleted_at IS NULL")
    assert [row[0] for row in rows] == [ledgers["acme-eu"]]


async def test_a_pull_that_begins_afresh_drops_what_was_held(
    kit: Any, pull: Any, owner: Any, ledgers: Mapping[str, int]
) -> None:
    """The source has another account behind it: until all of that is read, no copy is held."""
    problem = Problem(subject="invoice c", code="UNREADABLE_RECORD", message="Odd.")
    script = kit.Script(*kit.pages([kit.invoice("a"), kit.invoice("b")], problems=[problem]))
    await pull(kit.stripe(), script)
    script.pages += kit.pages([kit.invoice("b", total=7)], [kit.invoice("d")])
    script.pages[1:] = [replace(page, cursor=str(n)) for n, page in enumerate(script.pages[1:], 2)]
    script.pages[1] = replace(script.pages[1], afresh=True)
    script.failure, script.fails_at = kit.Unavailable("It broke off."), 2
    half = await pull(kit.stripe(), script)
    assert half.as_of is None
    assert str(half.failure) == "stripe could not be read: It broke off."
    script.failure = None
    assert not (await pull(kit.stripe(), script)).stale
    assert script.pulls == [None, "1", "2"]
    held = await owner.fetch("SELECT external_id, total FROM mirror.invoice WHERE deleted_at IS NULL ORDER BY 1")
    assert [tuple(row) for row in held] == [("b", 7), ("d", 1190)]


async def test_the_application_role_sees_and_writes_its_callers_ledgers_alone(
    kit: Any, pull: Any, db: Any, ledgers: Mapping[str, int]
) -> None:
    await pull(kit.stripe(), kit.Script(*kit.pages([kit.invoice()])))
    for visible, count in (("", 0), (str(ledgers["acme-eu"]), 0), (str(ledgers["acme-us"]), 1), ("*", 1)):
        async with db.writer() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ledgergraph.ledgers = '{visible}'")
            assert await connection.fetchval("SELECT count(*) FROM mirror.invoice") == count
            assert await connection.execute("UPDATE mirror.invoice SET total = 0") == f"UPDATE {count}"


async def test_every_run_is_recorded_and_old_records_go(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    script = kit.Script(*kit.pages([kit.invoice("a")], [kit.invoice("b")]))
    await pull(kit.stripe(), script)
    row = await owner.fetchrow("SELECT * FROM mirror.sync_run")
    assert (row["pages"], row["documents"], row["changed"], row["deleted"], row["error"]) == (2, 2, 2, 0, None)
    await owner.execute("UPDATE mirror.sync_run SET started_at = started_at - interval '31 days'")
    script.failure = kit.Unavailable("It is closed.")
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch("SELECT error FROM mirror.sync_run")] == ["It is closed."]


async def test_payments_are_kept_beside_invoices(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    """One source gives both; a change, a deletion and an unchanged repetition are told apart for each."""
    script = kit.Script(*kit.pages([kit.invoice("same"), kit.payment("same"), kit.payment("other")]))
    await pull(kit.stripe(), script)
    again = [kit.payment("same"), kit.payment("other", source_status="disputed")]
    gone = Deletion(kind="payment", external_id="same")
    script.pages.append(Page(documents=again, cursor="2", deletions=[gone], complete=True))
    await pull(kit.stripe(), script)
    rows = await owner.fetch("SELECT external_id, source_status, deleted_at IS NULL FROM mirror.payment ORDER BY 1")
    assert [tuple(row) for row in rows] == [("other", "disputed", True), ("same", "succeeded", False)]
    assert [row[0] for row in await owner.fetch(LIVE)] == ["same"]
    assert await owner.fetchval("SELECT sum(changed) FROM mirror.sync_run") == 4


async def test_a_payment_that_does_not_add_up_keeps_no_other_document_out(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """The database refuses it, and with it would refuse its page for ever."""
    odd = kit.payment("odd", amount=500, fee=50, net=500)
    await pull(kit.stripe(), kit.Script(*kit.pages([odd, kit.payment("fine")])))
    assert [row[0] for row in await owner.fetch("SELECT external_id FROM mirror.payment")] == ["fine"]
    assert await owner.fetchval("SELECT code FROM mirror.issue WHERE closed_at IS NULL") == "UNREADABLE_RECORD"


async def test_a_listing_of_everything_leaves_out_each_kind_by_itself(
    kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """An invoice that is mentioned does not keep a payment with its id."""
    script = kit.Script(*kit.pages([kit.invoice("same"), kit.payment("same")]), lists_everything=True)
    await pull(kit.stripe(), script)
    script.pages = kit.pages([kit.invoice("same")])
    await pull(kit.stripe(), script)
    assert [row[0] for row in await owner.fetch(LIVE)] == ["same"]
    assert await owner.fetchval("SELECT count(*) FROM mirror.payment WHERE deleted_at IS NULL") == 0


async def test_what_a_payout_paid_out_says_so_for_ever(kit: Any, pull: Any, owner: Any, ledgers: Any) -> None:
    """Also after it was stated anew without it; and it is no change of the payment."""
    payout = kit.payment("po_1", amount=-1, fee=0, net=-1, paid_out=("ch_1", "unknown"))
    script = kit.Script(*kit.pages([kit.payment()], [payout], [kit.payment(source_status="later")]))
    await pull(kit.stripe(), script)
    rows = await owner.fetch("SELECT external_id, source_status, payout_external_id FROM mirror.payment ORDER BY 1")
    assert [tuple(row) for row in rows] == [("ch_1", "later", "po_1"), ("po_1", "succeeded", None)]
    assert await owner.fetchval("SELECT changed FROM mirror.sync_run") == 3


@pytest.mark.parametrize("problems", [(), (Problem(subject="a.sta", code="UNREADABLE_FILE", message="It is empty."),)])
async def test_a_cursor_that_stays_is_not_written_anew(
    problems: tuple[Problem, ...], kit: Any, pull: Any, owner: Any, ledgers: Any
) -> None:
    """A folder of 50,000 files has one of five megabytes, and is looked at every minute."""
    if int(await owner.fetchval("SHOW server_version_num")) < 170_000:
        pytest.skip("this PostgreSQL does not tell where a long value lies")
    where = "SELECT pg_column_toast_chunk_id(cursor) FROM mirror.source_state"
    cursor = secrets.token_hex(40_000)

    class Folder(kit.Script):  # type: ignore[misc, name-defined]
        async def pull(self, _: str | None) -> Any:
            yield Page(documents=(), cursor=cursor, problems=problems, complete=True)

    await pull(kit.stripe(), Folder())
    lies = await owner.fetchval(where)
    await pull(kit.stripe(), Folder())
    assert lies == await owner.fetchval(where) is not None
    cursor = secrets.token_hex(40_000)
    await pull(kit.stripe(), Folder())
    assert lies != await owner.fetchval(where)
    assert await owner.fetchval("SELECT cursor FROM mirror.source_state") == cursor
