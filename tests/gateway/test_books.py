"""The sample books are plausible and the same at every start."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from gateway.demo.bookkeeper import BookItem, ReversalOf
from gateway.demo.books import year_of_books
from gateway.demo.company import ENTITIES, SEED, Entity, chart
from sources.ledger.model import EntryDraft, LedgerRef, LineDraft
from sources.money import EXPONENTS, parse_minor

THROUGH = date(2026, 11, 22)


def books(entity: Entity) -> list[BookItem]:
    return list(year_of_books(entity, LedgerRef(1, entity.code, entity.currency), THROUGH, SEED))


def signed(line: LineDraft, text: str | None, currency: str) -> int:
    minor = parse_minor(text or "0", EXPONENTS[currency])
    return minor if line.debit is not None else -minor


def functional(entity: Entity, line: LineDraft) -> int:
    return signed(line, line.functional_amount or line.debit or line.credit, entity.currency)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.code)
class TestBooks:
    def test_there_are_some_ten_thousand_entries_of_one_year_in_order_of_date(self, entity: Entity) -> None:
        dates = [item.effective_date for item in books(entity)]
        assert 9_000 < len(dates) < 11_000
        assert dates == sorted(dates)
        assert dates[0] == THROUGH - timedelta(days=364)
        assert dates[-1] <= THROUGH

    def test_the_same_seed_gives_the_same_books(self, entity: Entity) -> None:
        assert books(entity) == books(entity)

    def test_every_entry_balances_and_names_accounts_of_the_chart(self, entity: Entity) -> None:
        codes = {account.code: account for account in chart(entity)}
        for entry in books(entity):
            if isinstance(entry, ReversalOf):
                continue
            assert sum(functional(entity, line) for line in entry.lines) == 0
            for line in entry.lines:
                assert codes[line.account].currency in (None, line.currency)
                assert (line.functional_amount is None) == (line.currency == entity.currency)
            if len({line.currency for line in entry.lines}) == 1:
                amounts = [signed(line, line.debit or line.credit, line.currency or "") for line in entry.lines]
                assert sum(amounts) == 0

    def test_keys_are_unique_and_a_reversal_follows_its_original(self, entity: Entity) -> None:
        seen: set[str] = set()
        for item in books(entity):
            assert item.idempotency_key not in seen
            seen.add(item.idempotency_key)
            if isinstance(item, ReversalOf):
                assert item.original in seen

    def test_there_are_foreign_currencies_departments_reversals_and_revaluations(self, entity: Entity) -> None:
        found = books(entity)
        lines = [line for entry in found if isinstance(entry, EntryDraft) for line in entry.lines]
        assert len({line.currency for line in lines}) == 4
        assert {value for line in lines for name, value in line.dimensions if name == "department"} >= {
            "sales",
            "support",
        }
        assert sum(isinstance(item, ReversalOf) for item in found) >= 12
        assert any(line.debit in ("0.00", None) and line.credit in ("0.00", None) for line in lines)

    def test_the_bank_account_never_runs_dry(self, entity: Entity) -> None:
        balance = 0
        for entry in books(entity):
            if isinstance(entry, EntryDraft):
                balance += sum(functional(entity, line) for line in entry.lines if line.account == "1110")
                assert balance >= 0

    def test_the_chart_has_parents_before_their_children(self, entity: Entity) -> None:
        codes: set[str] = set()
        accounts = chart(entity)
        for account in accounts:
            assert account.parent is None or account.parent in codes
            codes.add(account.code)
        assert 55 <= len(codes) <= 80
        assert Counter(account.type for account in accounts).keys() == {
            "ASSET",
            "LIABILITY",
            "EQUITY",
            "REVENUE",
            "EXPENSE",
        }
