"""The e-invoices of the sample company's suppliers: they read, state what was meant, and go to the supplier's account."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

from gateway.demo.company import SUPPLIERS
from gateway.demo.servers.invoice_files import Bill, vat_id, write_bill
from sources.connectors.einvoice import read_einvoice

RULES = Path(__file__).parents[3] / "gateway/demo/rules/acme-eu.toml"


def test_a_bill_is_an_invoice_that_adds_up(tmp_path: Path) -> None:
    day = date(2026, 11, 23)
    bill = Bill(number="SP-1", supplier="Stone & Partners", what="Advice", on=day, due=date(2026, 12, 7), net=100_003)
    write_bill(tmp_path / "inbox", bill)
    found = read_einvoice((tmp_path / "inbox/SP-1.xml").read_bytes())
    assert (found.number, found.issue_date, found.due_date) == ("SP-1", day, date(2026, 12, 7))
    assert (bill.tax, bill.total) == (19_001, 119_004)


def test_the_rules_know_every_supplier() -> None:
    told = tomllib.loads(RULES.read_text())["tables"]["expense_accounts"]
    assert told == {vat_id(supplier): account for supplier, account in SUPPLIERS.items()}
