"""What changed is told to the pipeline with it: all of it, nothing else, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.documents import BankStatement, BankTransactionStatus, Deletion, Page
from sources.mirror.refresh import Refresher
from tests.sources.mirror.kit import Kit, Script

CUTOVER = date(2026, 1, 1)
IBAN = "DE02120300000000202051"
Owner: TypeAlias = "asyncpg.Connection[Any]"
Pull = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("ledgers")


def day(number: int) -> date:
    return date(2026, 3, 1) + timedelta(days=number - 1)


async def told(owner: Owner) -> dict[tuple[str, str, str], bool]:
    """What waits, by kind, account and external id: whether it is gone. It is forgotten."""
    rows = await owner.fetch("DELETE FROM pipeline.todo RETURNING kind, account, external_id, gone")
    return {tuple(row[:3]): row[3] for row in rows}


async def test_new_changed_gone_and_back_are_told_and_the_same_again_is_not(owner: Owner, pull: Pull) -> None:
    stripe, script = Kit.stripe(post_from=CUTOVER), Script()
    key = ("invoice", "", "in_1")

    async def state(*documents: Any, **more: Any) -> dict[tuple[str, str, str], bool]:
        script.pages.append(Page(documents=documents, cursor=str(len(script.pages) + 1), complete=True, **more))
        await pull(stripe, script)
        return await told(owner)

    assert await state(Kit.invoice(), Kit.invoice("in_2")) == {key: False, ("invoice", "", "in_2"): False}
    assert await state(Kit.invoice()) == {}
    assert await state(Kit.invoice(total=1200)) == {key: False}
    gone = [Deletion(kind="invoice", external_id="in_1"), Deletion(kind="invoice", external_id="never")]
    assert await state(deletions=gone) == {key: True}
    assert await state(deletions=gone) == {}
    assert await state(Kit.invoice(total=1200)) == {key: False}


async def test_a_source_that_does_not_post_tells_nothing(owner: Owner, pull: Pull) -> None:
    script = Script(*Kit.pages([Kit.invoice()], [], deletions=[Deletion(kind="invoice", external_id="in_1")]))
    await pull(Kit.stripe(), script)
    assert await told(owner) == {}


async def test_what_a_whole_listing_leaves_out_is_gone(owner: Owner, pull: Pull) -> None:
    payroll = Kit.payroll(post_from=CUTOVER)
    await pull(payroll, Script(*Kit.pages([Kit.run("a"), Kit.run("b")]), lists_everything=True))
    assert await told(owner) == {("payroll_run", "", "a"): False, ("payroll_run", "", "b"): False}
    script = Script(Page(documents=[Kit.run("b")], cursor=None, complete=True), lists_everything=True)
    await pull(payroll, script)
    assert await told(owner) == {("payroll_run", "", "a"): True}


async def test_a_page_that_fails_tells_nothing(owner: Owner, pull: Pull) -> None:
    await owner.execute(
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE OF cursor ON mirror.source_state FOR EACH ROW
            WHEN (NEW.cursor = '2') EXECUTE FUNCTION fail();
        GRANT EXECUTE ON FUNCTION fail TO PUBLIC
        """
    )
    script = Script(*Kit.pages([Kit.invoice("in_1")], [Kit.invoice("in_2")]))
    assert (await pull(Kit.stripe(post_from=CUTOVER), script)).error is not None
    assert await told(owner) == {("invoice", "", "in_1"): False}
    assert await owner.fetchval("SELECT array_agg(external_id) FROM mirror.invoice") == ["in_1"]


async def test_a_page_of_ten_thousand_documents_is_told_at_once(owner: Owner, pull: Pull) -> None:
    documents = [Kit.invoice(f"in_{number}") for number in range(10_000)]
    await pull(Kit.stripe(post_from=CUTOVER), Script(*Kit.pages([*documents, documents[0]])))
    row = await owner.fetchrow(
        "SELECT count(*) AS rows, count(DISTINCT not_before) AS moments, count(DISTINCT change) AS changes, "
        "count(DISTINCT xmin::text) AS transactions FROM pipeline.todo"
    )
    assert row is not None
    assert dict(row) == {"rows": 10_000, "moments": 1, "changes": 10_000, "transactions": 1}


async def test_a_document_that_changes_while_it_waits_is_another_change_and_waits_since_the_first(
    owner: Owner, pull: Pull
) -> None:
    script = Script(*Kit.pages([Kit.invoice()]))
    await pull(Kit.stripe(post_from=CUTOVER), script)
    before = await owner.fetchrow("UPDATE pipeline.todo SET attempts = 5, not_before = 'infinity' RETURNING *")
    script.pages += [Page(documents=[Kit.invoice(total=1)], cursor="2", complete=True)]
    await pull(Kit.stripe(post_from=CUTOVER), script)
    (after,) = await owner.fetch("SELECT *, not_before <= clock_timestamp() AS due FROM pipeline.todo")
    assert before is not None
    assert after["change"] > before["change"]
    assert (after["since"], after["attempts"], after["due"]) == (before["since"], 0, True)


# ---------------------------------------------------------------- cut-over


async def test_a_cutover_that_is_set_moved_or_taken_away_concerns_every_document(owner: Owner, pull: Pull) -> None:
    documents = [Kit.invoice("in_1"), Kit.invoice("in_2")]
    script = Script(*Kit.pages(documents, [], deletions=[Deletion(kind="invoice", external_id="in_2")]))
    every = {("invoice", "", "in_1"): False, ("invoice", "", "in_2"): True}
    await pull(Kit.stripe(), script)
    assert await told(owner) == {}
    await pull(Kit.stripe(post_from=CUTOVER), script)
    assert await told(owner) == every
    await pull(Kit.stripe(post_from=CUTOVER), script)
    assert await told(owner) == {}
    await pull(Kit.stripe(post_from=date(2025, 1, 1)), script)
    assert len(await owner.fetch("SELECT FROM pipeline.todo")) == 2
    await pull(Kit.stripe(), script)
    assert await told(owner) == {}
    assert await owner.fetchval("SELECT post_from FROM mirror.source_state") is None


async def test_every_kind_is_told_when_a_cutover_is_set(owner: Owner, pull: Pull) -> None:
    firm = Kit.statement("s1", Kit.moved("t1", 5, day(1)), to_date=day(1))
    report = Kit.statement("s2", Kit.moved("t2", 5, day(2)), provisional=True)
    bank = Script(*Kit.pages([firm, report]), lists_everything=True)
    payroll = Script(*Kit.pages([Kit.run()]))
    await pull(Kit.bank(), bank)
    await pull(Kit.payroll(), payroll)
    await pull(Kit.bank(post_from=CUTOVER), bank)
    await pull(Kit.payroll(post_from=CUTOVER), payroll)
    assert await told(owner) == {("bank_transaction", IBAN, "t1"): False, ("payroll_run", "", "run-1"): False}


async def test_documents_that_go_to_another_ledger_are_gone_from_the_first(
    owner: Owner, pull: Pull, ledgers: Mapping[str, int]
) -> None:
    script = Script(*Kit.pages([Kit.invoice()]))
    await pull(Kit.stripe(post_from=CUTOVER), script)
    await told(owner)
    await pull(Kit.stripe(post_from=CUTOVER, ledger="acme-eu"), script)
    rows = await owner.fetch("SELECT ledger_id, gone FROM pipeline.todo")
    assert {row["ledger_id"]: row["gone"] for row in rows} == {ledgers["acme-us"]: True, ledgers["acme-eu"]: False}


async def test_another_account_at_the_source_has_the_documents_of_the_first_gone(owner: Owner, pull: Pull) -> None:
    script = Script(*Kit.pages([Kit.invoice("in_1"), Kit.invoice("in_2")]))
    await pull(Kit.stripe(post_from=CUTOVER), script)
    await told(owner)
    script.pages.append(Page(documents=[Kit.invoice("in_2")], cursor="2", complete=True, afresh=True))
    await pull(Kit.stripe(post_from=CUTOVER), script)
    assert await told(owner) == {("invoice", "", "in_1"): True, ("invoice", "", "in_2"): False}


# ---------------------------------------------------------------- payslips


@pytest.mark.parametrize("post_from", [CUTOVER, None])
async def test_payslips_that_come_later_are_a_change_of_their_run(
    owner: Owner, refresher: Callable[..., Refresher], ledgers: Mapping[str, int], post_from: date | None
) -> None:
    script = Script(*Kit.pages([Kit.run()]))
    script.slips["run-1"] = (Kit.slip(),)
    payroll = refresher((Kit.payroll(post_from=post_from), script))
    await payroll.ensure(["payroll"], 0)
    assert (await told(owner) != {}) is (post_from is not None)
    await payroll.fetch_payslips(ledgers["acme-eu"], "payroll", ["run-1"])
    expected = {("payroll_run", "", "run-1"): False} if post_from else {}
    assert await told(owner) == expected


# ---------------------------------------------------------------- bank transactions


async def test_only_transactions_of_authoritative_statements_are_told(owner: Owner, pull: Pull) -> None:
    bank = Kit.bank(post_from=CUTOVER)
    report = Kit.statement("r", Kit.moved("a", 5, day(2)), Kit.moved("b", 7, day(2)), provisional=True)
    await pull(bank, Script(*Kit.pages([report]), lists_everything=True))
    assert await told(owner) == {}
    firm = Kit.statement("s", Kit.moved("a", 5, day(2)), to_date=day(2))
    await pull(bank, Script(*Kit.pages([report, firm]), lists_everything=True))
    assert await told(owner) == {("bank_transaction", IBAN, "a"): False}


async def test_a_transaction_of_two_statements_is_gone_with_the_last_of_them(owner: Owner, pull: Pull) -> None:
    bank, key = Kit.bank(post_from=CUTOVER), ("bank_transaction", IBAN, "a")
    one = Kit.statement("s1", Kit.moved("a", 5, day(1)), to_date=day(1))
    two = Kit.statement("s2", Kit.moved("a", 5, day(1)), to_date=day(2))
    script = Script(*Kit.pages([one, two]), lists_everything=True)
    await pull(bank, script)
    assert await told(owner) == {key: False}
    for stated, gone in ([one], False), ([], True), ([one], False):
        script.pages = [Page(documents=stated, cursor=None, complete=True)]
        await pull(bank, script)
        assert await told(owner) == {key: gone}


COUNTING = """
SELECT account, external_id, to_jsonb(held) - ARRAY['visible', 'changed_at', 'first_seen', 'statement', 'position'] AS stated
FROM mirror.bank_transaction held WHERE visible AND NOT provisional"""

FIRM = "SELECT account, external_id FROM mirror.bank_transaction WHERE NOT provisional"

movements = st.builds(
    lambda name, amount, on, booked: Kit.moved(
        name,
        amount,
        day(on),
        status=BankTransactionStatus.BOOKED if booked else BankTransactionStatus.PENDING,
    ),
    st.sampled_from("abc"),
    st.integers(1, 3),
    st.integers(1, 5),
    st.booleans(),
)
stated = st.builds(
    lambda name, moved, provisional, end: Kit.statement(
        name, *{each.external_id: each for each in moved}.values(), provisional=provisional, to_date=day(end)
    ),
    st.sampled_from(["s1", "s2", "s3"]),
    st.lists(movements, max_size=3),
    st.booleans(),
    st.integers(1, 6),
)
listings = st.lists(st.lists(stated, max_size=3, unique_by=lambda each: each.external_id), min_size=2, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=listings)
async def test_every_transaction_that_begins_changes_or_ceases_to_count_is_told(
    owner: Owner, pull: Pull, history: list[list[BankStatement]]
) -> None:
    """Whatever statements come, change and go: nothing of an authoritative one is missed. Nothing provisional is told, unless
    its statement was authoritative before."""
    await owner.execute(
        "DELETE FROM mirror.bank_transaction; DELETE FROM mirror.bank_statement; DELETE FROM mirror.bank_account; "
        "DELETE FROM mirror.source_state; DELETE FROM pipeline.todo"
    )
    for listing in history:
        before = {tuple(row[:2]): row["stated"] for row in await owner.fetch(COUNTING)}
        firm = {tuple(row) for row in await owner.fetch(FIRM)}
        authoritative = {
            row[0] for row in await owner.fetch("SELECT external_id FROM mirror.bank_statement WHERE NOT provisional")
        }
        await pull(Kit.bank(post_from=CUTOVER), Script(*Kit.pages(listing), lists_everything=True))
        after = {tuple(row[:2]): row["stated"] for row in await owner.fetch(COUNTING)}
        found = await told(owner)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= {key[1:] for key in found}
        assert {key[1:]: gone for key, gone in found.items()} == {key[1:]: key[1:] not in after for key in found}
        reports = {each.external_id for each in listing if each.provisional}
        if not reports & authoritative:
            assert {key[1:] for key in found} <= firm | {tuple(row) for row in await owner.fetch(FIRM)}
