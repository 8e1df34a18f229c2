"""Which ledger a document belongs to."""

from __future__ import annotations

import pytest

from sources.documents import BankAccount
from sources.mirror.settings import SourceSettings
from tests.sources.mirror.kit import Kit


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (BankAccount(external_id="DE02120300000000202051", currency="EUR"), "acme-us"),
        (BankAccount(external_id="x", currency="EUR", iban="DE02120300000000202051"), "acme-us"),
        (BankAccount(external_id="12345678/1020304050", currency="EUR"), "late"),
        (BankAccount(external_id="other", currency="EUR"), "acme-eu"),
    ],
)
def test_a_bank_account_may_belong_to_another_ledger_than_its_source(account: BankAccount, code: str) -> None:
    """However its IBAN is written."""
    settings = Kit.bank(accounts={"DE02 1203 0000 0000 2020 51": "acme-us", "12345678/1020304050": "late"})
    assert settings.ledger_of(Kit.statement("s", account=account)) == code
    assert settings.ledgers == {"acme-eu", "acme-us", "late"}


def test_a_tenant_may_belong_to_another_ledger_than_its_source() -> None:
    settings = Kit.payroll(options={"tenant_id": "t1"}, accounts={"t1": "acme-us", "t2": "late"})
    assert settings.ledger_of(Kit.run()) == "acme-us"
    assert settings.ledgers == {"acme-us"}
    assert settings.route != Kit.payroll(options={"tenant_id": "t2"}, accounts=settings.accounts).route


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (Kit.bank(options={"path": "/a"}), Kit.bank(options={"path": "/b"}), False),
        (Kit.payroll(options={"client_id": "1"}), Kit.payroll(options={"client_id": "2"}), False),
        (Kit.payroll(options={"base_url": "http://a"}), Kit.payroll(options={"base_url": "http://b"}), True),
        (Kit.payroll(options={"client_secret": "1"}), Kit.payroll(options={"client_secret": "2"}), True),
        (Kit.stripe(options={"api_key": "1"}), Kit.stripe(options={"api_key": "2"}), True),
    ],
)
def test_a_copy_belongs_to_the_account_it_was_read_from(
    before: SourceSettings, after: SourceSettings, same: bool
) -> None:
    """Another folder or client is another account; another address or key may be the same one's."""
    assert (before.route == after.route) is same


def test_credentials_are_not_shown() -> None:
    assert "sesame" not in repr(Kit.stripe(options={"api_key": "sesame"}))
