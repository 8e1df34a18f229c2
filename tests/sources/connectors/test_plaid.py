"""Plaid's cursor API: what is told of transactions that come, change, post and go, whatever happens while they are read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sources.connectors.http import HttpOptions
from sources.connectors.plaid import PlaidConnector
from sources.connectors.plaid_records import Unreadable, kept, parse_holding, parse_page, statement
from sources.documents import BankStatement, Page, Problem
from sources.errors import ConfigurationError, SourceUnavailable
from tests.sources.connectors.plaid_bank import CARD, CHECKING, CLIENT, SECRET, TOKEN, Bank, account, serving

NOW = datetime(2026, 5, 6, 15, 0, tzinfo=UTC)


@dataclass
class Copy:
    """What a reader holds after the pulls so far."""

    statements: dict[str, BankStatement] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    cursor: str | None = None
    pages: list[Page] = field(default_factory=list)

    def take(self, page: Page) -> None:
        self.statements.update({each.external_id: each for each in page.documents if isinstance(each, BankStatement)})
        for deletion in page.deletions:
            assert deletion.kind == "bank_statement"
            self.statements.pop(deletion.external_id, None)
        self.problems.extend(page.problems)
        self.cursor = page.cursor
        self.pages.append(page)

    @property
    def booked(self) -> dict[str, int]:
        return {
            each.external_id: each.transactions[0].amount
            for each in self.statements.values()
            if not each.external_id.startswith("~")
        }

    def holding(self, account: str = CHECKING) -> BankStatement:
        """The newest balance of an account."""
        return max(
            (each for key, each in self.statements.items() if key.startswith(f"~{account} ")),
            key=lambda each: each.to_date or date.min,
        )

    @property
    def pending(self) -> dict[str, int]:
        return {each.external_id: each.amount for each in self.holding().transactions}


def connector(base: str, *, now: datetime = NOW, **more: Any) -> PlaidConnector:
    options = HttpOptions(
        waiting=False, attempts=3, response_bytes=more.pop("response_bytes", 1_000_000), **more.pop("http", {})
    )
    given = {"client_id": CLIENT, "secret": SECRET, "access_token": TOKEN, "item_id": "item-1", **more}
    return PlaidConnector(name="bank", base_url=base, http=options, clock=now.timestamp, **given)


async def pull(base: str, copy: Copy | None = None, *, stop_after: int | None = None, **more: Any) -> Copy:
    copy, reader = copy or Copy(), connector(base, **more)
    try:
        pages = reader.pull(copy.cursor)
        number = 0
        async for page in pages:
            copy.take(page)
            number += 1
            if number == stop_after:
                break
        else:
            assert page.complete
    finally:
        await reader.close()
    return copy


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
async def base(bank: Bank) -> AsyncIterator[str]:
    async with serving(bank) as address:
        yield address


async def test_transactions_come_with_their_sign_and_their_account(bank: Bank, base: str) -> None:
    """At Plaid a positive amount leaves the account, also a credit card, whose balance is what is owed."""
    bank.accounts.append(
        account(CARD, 410.2, type="credit", name="Card", official_name=None, balances={"available": 1589.8})
    )
    bank.put("rent", 1200.5, original_description="ACH RENT MAY", merchant_name=None, counterparties=[{"name": "Landlord"}],
             payment_meta={"reference_number": "R-7", "payee": "Somebody"})  # fmt: skip
    bank.put("sale", -89.4, check_number="1033")
    bank.put("lunch", 12, account_id=CARD)
    copy = await pull(base)
    assert copy.booked == {"rent": -120050, "sale": 8940, "lunch": -1200}
    rent, sale = copy.statements["rent"].transactions[0], copy.statements["sale"].transactions[0]
    assert (rent.counterparty, rent.reference, rent.description) == ("Landlord", "R-7", "ACH RENT MAY")
    assert (sale.counterparty, sale.reference, sale.booked_on) == ("Acme", "check 1033", date(2026, 5, 4))
    checking, card = copy.holding(), copy.holding(CARD)
    assert (checking.closing, checking.closing_available, checking.account.name) == (
        100000,
        100000,
        "Plaid Gold Standard Checking 0000",
    )
    assert (card.closing, card.closing_available) == (-41020, None), "what may still be borrowed is no money"
    assert "location" not in copy.statements["rent"].transactions[0].raw


async def test_pages_are_read_to_the_end_and_the_next_pull_asks_for_changes_alone(bank: Bank, base: str) -> None:
    bank.page = 2
    for number in range(5):
        bank.put(f"t{number}", number + 1)
    copy = await pull(base)
    assert len(copy.booked) == 5
    assert len(bank.asked) == 3
    bank.put("t1", 7.77)
    bank.remove("t2")
    bank.put("t9", 1)
    seen = len(bank.asked)
    copy = await pull(base, copy)
    assert copy.booked == {"t0": -100, "t1": -777, "t3": -400, "t4": -500, "t9": -100}
    assert [path for path, _ in bank.asked[seen:]] == ["/transactions/sync"] * 2
    assert bank.asked[seen][1]["cursor"] == "5"


async def test_a_pull_that_finds_nothing_states_nothing(bank: Bank, base: str) -> None:
    bank.put("t0", 1)
    copy = await pull(base)
    again = await pull(base, Copy(cursor=copy.cursor))
    assert [(page.documents, page.deletions, page.cursor) for page in again.pages] == [([], [], copy.cursor)]
    bank.accounts[0]["balances"]["current"] = 990
    copy = await pull(base, Copy(cursor=copy.cursor))
    assert copy.holding().closing == 99000


async def test_pending_transactions_stand_until_they_are_posted_or_removed(bank: Bank, base: str) -> None:
    bank.put("p1", 20, pending=True)
    bank.put("p2", 5, pending=True)
    copy = await pull(base)
    assert copy.pending == {"p1 pending": -2000, "p2 pending": -500}
    assert copy.booked == {}
    assert copy.holding().transactions[0].value_date == date(2026, 5, 4)
    bank.put("p2", 6, pending=True)
    bank.put("b1", 21.5, pending_transaction_id="p1")
    bank.remove("p1")
    copy = await pull(base, copy)
    assert copy.pending == {"p2 pending": -600}
    assert copy.booked == {"b1": -2150}
    bank.remove("p2")
    copy = await pull(base, copy)
    assert copy.pending == {}
    assert copy.booked == {"b1": -2150}


async def test_a_pending_transaction_that_posts_under_its_own_id_is_booked_once(bank: Bank, base: str) -> None:
    bank.put("p1", 20, pending=True)
    copy = await pull(base)
    bank.put("p1", 20)
    copy = await pull(base, copy)
    assert copy.pending == {}
    assert copy.booked == {"p1": -2000}
    bank.put("p1", 20, pending=True)
    copy = await pull(base, copy)
    assert copy.pending == {"p1 pending": -2000}
    assert copy.booked == {}


async def test_data_that_changes_between_pages_is_read_again_from_where_the_loop_began(bank: Bank, base: str) -> None:
    """What a restart mentions no more was never told."""
    bank.page = 2
    for number in range(4):
        bank.put(f"t{number}", 1)
    bank.between.append(lambda: bank.remove("t0"))
    copy = await pull(base)
    assert copy.booked == {"t1": -100, "t2": -100, "t3": -100}
    cursors = [question.get("cursor") for _, question in bank.asked]
    assert cursors == [None, "0.4.2", None, "0.5.2"]


async def test_data_that_never_stands_still_fails_the_pull(bank: Bank, base: str) -> None:
    bank.page = 1
    bank.put("a", 1)
    bank.put("b", 1)
    bank.between.extend([lambda: bank.put("b", 2)] * 9)
    with pytest.raises(SourceUnavailable, match="kept changing"):
        await pull(base)


async def test_a_pull_broken_off_while_it_was_stored_misses_nothing(
    bank: Bank, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored of it and removed before the next one is removed."""
    monkeypatch.setattr("sources.connectors.plaid_reading.STORED_AT_ONCE", 2)
    for number in range(5):
        bank.put(f"t{number}", 1, date=f"2026-05-0{number + 1}")
    copy = await pull(base, stop_after=1)
    assert sorted(copy.booked) == ["t0", "t1"]
    bank.remove("t0")
    bank.put("t5", 1)
    copy = await pull(base, copy)
    assert sorted(copy.booked) == ["t1", "t2", "t3", "t4", "t5"]
    copy = await pull(base, copy)
    assert json.loads(str(copy.cursor))["telling"] is None


async def test_an_item_that_plaid_has_not_read_is_no_empty_account(bank: Bank, base: str) -> None:
    bank.status = "NOT_READY"
    with pytest.raises(SourceUnavailable, match="not read its transactions yet"):
        await pull(base)


async def test_accounts_are_asked_for_where_the_answer_leaves_them_out(bank: Bank, base: str) -> None:
    bank.hides_accounts = True
    bank.put("t0", 1)
    copy = await pull(base)
    assert copy.statements["t0"].account.name == "Plaid Gold Standard Checking 0000"
    assert copy.holding().closing == 100000


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ITEM_LOGIN_REQUIRED", "update mode"),
        ("INVALID_ACCESS_TOKEN", "access_token"),
        ("PRODUCT_NOT_READY", "not read its transactions yet"),
        ("INVALID_API_KEYS", "client_id"),
        ("SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
async def test_refusals_say_what_to_do_and_nothing_of_what_was_sent(
    bank: Bank, base: str, code: str, words: str
) -> None:
    bank.refuse(code)
    with structlog.testing.capture_logs() as logs, pytest.raises(SourceUnavailable, match=words) as refused:
        await pull(base)
    told = f"{refused.value} {refused.value.__cause__} {logs}"
    assert SECRET not in told
    assert TOKEN not in told
    assert CLIENT not in told


async def test_rate_limits_faults_and_breaks_are_tried_again(bank: Bank, base: str) -> None:
    bank.put("t0", 1)
    bank.refuse("TRANSACTIONS_LIMIT", 429, **{"Retry-After": "1"})
    bank.refuse("INSTITUTION_DOWN", 503)
    assert (await pull(base)).booked == {"t0": -100}
    bank.refuse("INTERNAL_SERVER_ERROR", 500)
    with pytest.raises(SourceUnavailable, match="failed"):
        await pull(base)


async def test_a_server_that_hangs_or_floods_fails_the_pull(bank: Bank, base: str) -> None:
    bank.say(b'{"added": [' + b" " * 2_000_000)
    with pytest.raises(SourceUnavailable, match="more than 1000000 bytes"):
        await pull(base)
    bank.hanging = True
    with pytest.raises(SourceUnavailable, match="did not answer"):
        await pull(base, http={"attempt_seconds": 0.2, "deadline_seconds": 0.5})


GOOD = {"added": [], "modified": [], "removed": [], "has_more": False, "next_cursor": "1", "accounts": []}


@pytest.mark.parametrize(
    "body",
    [
        b'{"added": [{"transaction_id": "a"', [], "x", {}, {**GOOD, "added": None}, {**GOOD, "has_more": "no"},
        {**GOOD, "next_cursor": 7}, {**GOOD, "next_cursor": "a\nb"}, {**GOOD, "removed": [{}]}, {**GOOD, "accounts": {}},
    ],
)  # fmt: skip
async def test_answers_in_another_shape_change_nothing(bank: Bank, base: str, body: Any) -> None:
    bank.say(body)
    copy = Copy()
    with pytest.raises(SourceUnavailable):
        await pull(base, copy)
    assert copy.pages == []


async def test_pages_that_lead_nowhere_end(bank: Bank, base: str) -> None:
    for _ in range(2):
        bank.say({**GOOD, "has_more": True, "next_cursor": "1"})
    with pytest.raises(SourceUnavailable, match="same page"):
        await pull(base)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"iso_currency_code": None, "unofficial_currency_code": "BTC"}, "UNKNOWN_CURRENCY"),
        ({"amount": 1.005}, "INEXACT_AMOUNT"),
        ({"amount": 1e30}, "AMOUNT_OUT_OF_RANGE"),
        ({"amount": "1,00"}, "UNREADABLE_RECORD"),
        ({"amount": True}, "UNREADABLE_RECORD"),
        ({"date": "2026-02-30"}, "UNREADABLE_RECORD"),
        ({"date": 20260504}, "UNREADABLE_RECORD"),
        ({"pending": "false"}, "UNREADABLE_RECORD"),
        ({"account_id": None}, "UNREADABLE_RECORD"),
    ],
)
async def test_one_record_that_cannot_be_read_costs_itself(
    bank: Bank, base: str, wrong: dict[str, Any], code: str
) -> None:
    bank.put("bad", **{"amount": 1, **wrong})
    bank.put("good", 2)
    copy = await pull(base)
    assert copy.booked == {"good": -200}
    assert [(each.subject, each.code) for each in copy.problems] == [("bank transaction bad", code)]
    assert "Acme" not in copy.problems[0].message


async def test_an_account_without_a_balance_or_in_no_currency(bank: Bank, base: str) -> None:
    bank.accounts = [
        account(CHECKING, None, balances={"available": 12.5}),
        account("coin", 3, balances={"iso_currency_code": None, "unofficial_currency_code": "DOGE"}),
        account("new", 3, type="of tomorrow"),
    ]
    bank.put("t0", 1)
    copy = await pull(base)
    assert (copy.holding().closing, copy.holding().closing_available) == (None, 1250)
    told = [(each.subject, each.code) for each in copy.problems]
    assert told == [("bank account coin", "UNKNOWN_CURRENCY"), ("bank account new", "UNREADABLE_RECORD")]


async def test_an_account_that_is_closed_keeps_what_was_booked(bank: Bank, base: str) -> None:
    """Plaid names it no more: its last balance stays that of its day, and the other account goes on."""
    bank.accounts.append(account(CARD, 20))
    bank.put("kept", 5)
    bank.put("of-the-card", 7, account_id=CARD)
    copy = await pull(base)
    closed = [each for each in copy.statements if each.startswith(f"~{CARD}")]
    assert len(closed) == 1
    del bank.accounts[1]
    bank.accounts[0] = account(CHECKING, 900)
    bank.put("later", 9)
    copy = await pull(base, copy, now=NOW + timedelta(days=1))
    assert copy.booked == {"kept": -500, "of-the-card": -700, "later": -900}
    assert [each for each in copy.statements if each.startswith(f"~{CARD}")] == closed
    assert copy.problems == []


async def test_the_removal_of_what_was_never_stated_removes_nothing(bank: Bank, base: str) -> None:
    bank.put("t0", 1)
    copy = await pull(base)
    bank.say({**GOOD, "removed": [{"transaction_id": "of-another-life", "account_id": CHECKING}], "next_cursor": "1"})
    copy = await pull(base, copy)
    assert (copy.booked, copy.problems) == ({"t0": -100}, [])
    bank.put("t1", 2)
    assert (await pull(base, copy)).booked == {"t0": -100, "t1": -200}


async def test_what_could_not_be_read_is_looked_for_in_everything(bank: Bank, base: str) -> None:
    """Plaid gives no transaction by its id. A pending one stands in the statement of the day after that."""
    for name, more in {"bad": {"amount": "much"}, "waiting": {"amount": "much", "pending": True}, "good": {}}.items():
        bank.put(name, **{"amount": 2, **more})
    copy = await pull(base)
    told = [each for each in copy.problems if each.again]
    assert sorted(each.subject for each in told) == ["bank transaction bad", "bank transaction waiting"]
    reader = connector(base)
    page = await reader.read_again(copy.cursor, told)
    assert sorted(each.subject for each in page.problems) == ["bank transaction bad", "bank transaction waiting"]
    for _, record in bank.history:
        assert record
        record["amount"] = 3
    page = await reader.read_again(copy.cursor, told)
    await reader.close()
    assert page.problems == []
    copy.take(page)
    assert (copy.booked, copy.pending) == ({"bad": -300, "good": -200}, {"waiting pending": -300})


async def test_a_bank_whose_calendar_is_ahead_does_not_count_its_day_twice(bank: Bank, base: str) -> None:
    """In Auckland it is tomorrow: the balance holds what is booked on that day, so it reaches to that day."""
    bank.put("early", -50, date="2026-05-07")
    bank.put("typo", -50, date="2036-05-07")
    copy = await pull(base)
    assert copy.holding().to_date == date(2026, 5, 7)
    bank.put("late", -1, date="2026-05-03")
    copy = await pull(base, copy)
    assert copy.holding().to_date == date(2026, 5, 7), "and stays so"


@pytest.mark.parametrize("setting", ["client_id", "secret", "access_token", "item_id"])
@pytest.mark.parametrize("value", ["", "a\nb", "ключ"])
def test_settings_that_cannot_work_are_refused(setting: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sources.bank.{setting}"):
        connector("http://127.0.0.1:1", now=NOW, **{setting: value})


async def test_a_cursor_of_another_version_starts_over(bank: Bank, base: str) -> None:
    bank.put("t0", 1)
    for cursor in ("", "{}", "[]", '{"version": 9}', '{"version": 1, "at": "0", "more": 1}'):
        assert (await pull(base, Copy(cursor=cursor))).booked == {"t0": -100}


_SCALARS = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=True) | st.text(max_size=20)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip
_NAMES = (
    "transaction_id",
    "account_id",
    "amount",
    "iso_currency_code",
    "date",
    "pending",
    "payment_meta",
    "counterparties",
    "name",
)


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES) | _VALUES)
def test_any_record_is_read_or_refused(record: Any) -> None:
    try:
        fields = kept(record)
        statement(fields, {})
    except Unreadable:
        pass


@given(st.dictionaries(st.sampled_from((*GOOD, "x")), _VALUES) | _VALUES)
def test_any_answer_is_read_or_refused(answer: Any) -> None:
    with contextlib.suppress(ValueError):
        parse_page(answer)


@given(st.dictionaries(st.sampled_from(("balances", "type", "mask", "name")), _VALUES))
def test_any_account_is_read_or_refused(record: dict[str, Any]) -> None:
    with contextlib.suppress(Unreadable):
        parse_holding({"account_id": "a", **record})


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("put", "pend", "remove", "pull", "break", "mutate")),
        st.sampled_from("abcdef"),
        st.integers(-9, 9),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("put", "a", 0), ("put", "b", 0), ("put", "c", 0), ("break", "a", 0), ("pend", "a", 0)])
@given(_EVENTS)
async def test_whatever_happens_the_copy_ends_as_the_bank(events: list[tuple[str, str, int]]) -> None:
    """Changes, removals, changes between pages, and pulls that break off while they are stored, in any order."""
    bank, copy = Bank(page=2), Copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sources.connectors.plaid_reading.STORED_AT_ONCE", 2)
        async with serving(bank) as base:
            for what, identifier, amount in [*events, ("pull", "", 0)]:
                if what in ("put", "pend"):
                    bank.put(identifier, amount, pending=what == "pend")
                elif what == "remove":
                    bank.remove(identifier)
                elif what == "mutate":
                    bank.between.append(lambda one=identifier, much=amount: bank.put(one, much))  # type: ignore[misc]
                else:
                    try:
                        copy = await pull(base, copy, stop_after=1 if what == "break" else None)
                    except SourceUnavailable:
                        bank.between.clear()
            bank.between.clear()
            copy = await pull(base, copy)
    there = {key: record for key, record in dict(bank.history).items() if record}
    assert copy.booked == {key: -record["amount"] * 100 for key, record in there.items() if not record["pending"]}
    assert copy.pending == {
        f"{key} pending": -record["amount"] * 100 for key, record in there.items() if record["pending"]
    }
