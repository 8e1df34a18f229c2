"""Documents of the systems themselves, read by their connectors: they balance, or the identity that they break is named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
import yaml

from gateway.demo.servers.xero_company import make_company
from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.stripe_objects import parse_credit_note, parse_invoice
from sources.connectors.xero_payroll_records import parse_listing, parse_pay_run, parse_payslip
from sources.documents import Invoice, PayrollRun, Payslip
from sources.mapping.model import MappedPosting, UnmappedCode
from sources.mapping.rates import Rates
from sources.mirror.rows import encoded, invoice_row, payroll_run_row, payslip_row, transaction_row
from tests.sources.mapping.kit import book, functional, mapped, postings, starter, unmapped

CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora"))
STARTER = starter()


def stored(row: dict[str, Any], source: str) -> dict[str, Any]:
    """As the mirror gives it back: dates are dates, what is within JSON is text."""
    row = orjson.loads(encoded(row)) | {"source": source}
    return {
        name: date.fromisoformat(value) if name.endswith(("_date", "_on", "_start", "_end")) and value else value
        for name, value in row.items()
    }


# ---------------------------------------------------------------- Xero


class _AsJson(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[Any] = {
        sign: [pair for pair in pairs if not pair[0].endswith(":timestamp")]
        for sign, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_AsJson.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(loader.construct_scalar(node)))


@cache
def xero(path: str) -> Any:
    """The example of a path in Xero's own OpenAPI document."""
    file = CORPORA / "xero" / "xero-payroll-uk.yaml"
    if not file.is_file():
        pytest.skip(f"Xero's OpenAPI document is not at {file} (set CORPORA)")
    document = yaml.load(file.read_text(encoding="utf-8"), _AsJson)
    return document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]


def run_row(run: PayrollRun, slips: list[Payslip] | None) -> dict[str, Any]:
    rows = None if slips is None else [payslip_row(each, position) for position, each in enumerate(slips)]
    return stored(payroll_run_row(run, rows or []), "payroll") | {"payslips": rows}


def test_xeros_own_pay_runs_wait_for_their_payslips() -> None:
    """They state net pay and cost alone. A draft posts nothing, and waits for nothing."""
    draft, posted = (parse_pay_run(record) for record in parse_listing(xero("/PayRuns"), "payRuns").records)
    assert mapped(STARTER, "payroll_run", run_row(draft, None), functional="GBP") == ()
    found = unmapped(STARTER, "payroll_run", run_row(posted, None), functional="GBP")
    assert (found.code, found.message) == (UnmappedCode.PAYSLIPS_NOT_READ, "its payslips have not been read yet")


def test_xeros_own_payslip_is_not_all_of_its_pay_run() -> None:
    """Nor does the slip add up, by just as much: the identity is named, and the slip by its id, and no name."""
    (record,) = parse_listing(xero("/Payslips"), "paySlips").records
    draft, _ = (parse_pay_run(each) for each in parse_listing(xero("/PayRuns"), "payRuns").records)
    slip = parse_payslip(record, draft.external_id).payslip
    row = run_row(draft, [slip]) | {"source_status": "Posted"}
    found = unmapped(STARTER, "payroll_run", row, functional="GBP")
    assert found.code == UnmappedCode.DISAGREEING_FIGURES
    identity = f"net = gross - employee taxes - deductions + reimbursements of the payslip {slip.external_id}"
    assert found.message == f"the figures disagree: {identity} is off by 9.62 GBP"
    mended = run_row(draft, [replace(slip, deductions=0)]) | {"source_status": "Posted"}
    found = unmapped(STARTER, "payroll_run", mended, functional="GBP")
    assert found.message == "the figures disagree: net = sum of the payslips' net is off by -9.62 GBP"
    assert str(record["lastName"]) not in repr(found)


def total(slips: list[Payslip], name: str) -> int:
    return sum(getattr(slip, name) or 0 for slip in slips)


def net_of(posting: MappedPosting) -> dict[str, int]:
    found: dict[str, int] = {}
    for account, amount in book(posting):
        found[account] = found.get(account, 0) + amount
    return found


def test_a_year_of_the_demos_payroll_balances() -> None:
    """Each posted run: gross, what is withheld, net, what the employer pays, each the sum of its payslips; then its payment."""
    company = make_company(7, date(2026, 11, 22))
    count = 0
    for identifier, record in company.runs.items():
        run = parse_pay_run(json.loads(json.dumps(record, default=str), parse_float=Decimal))
        slips = [
            parse_payslip(json.loads(json.dumps(each, default=str), parse_float=Decimal), identifier).payslip
            for each in company.slips[identifier]
        ]
        found = postings(STARTER, "payroll_run", run_row(run, slips), functional="GBP")
        if run.source_status != "Posted":
            assert found == ()
            continue
        accrual, paid = found
        assert sum(amount for _, amount in book(accrual)) == 0
        assert net_of(accrual) == {
            "6100": total(slips, "gross"),
            "6130": total(slips, "reimbursements"),
            "2220": -total(slips, "employee_taxes") - total(slips, "employer_taxes"),
            "2330": -total(slips, "deductions"),
            "2310": -run.net,
            "6110": total(slips, "employer_taxes"),
            "6120": total(slips, "employer_contributions"),
            "2320": -total(slips, "employer_contributions"),
        }
        assert book(paid) == [("2310", run.net), ("1199", -run.net)]
        assert not any(slip.employee_name in repr(found) for slip in slips)
        count += 1
    assert count == 11


# ---------------------------------------------------------------- Stripe


@cache
def stripe() -> dict[str, Any]:
    file = CORPORA / "stripe" / "fixtures3.json"
    if not file.is_file():
        pytest.skip(f"Stripe's fixtures are not at {file} (set CORPORA)")
    resources: dict[str, Any] = json.loads(file.read_text(), parse_float=Decimal)["resources"]
    return resources


def as_row(invoice: Invoice) -> dict[str, Any]:
    return stored(invoice_row(invoice), "billing")


def test_stripes_own_invoice_posts_when_it_is_finalised() -> None:
    draft = parse_invoice(stripe()["invoice"])
    assert mapped(STARTER, "invoice", as_row(draft)) == ()
    (found,) = postings(STARTER, "invoice", as_row(parse_invoice(stripe()["invoice"] | {"status": "open"})))
    assert book(found) == [("1210", 1_000), ("4100", -1_000)]
    assert found.lines[1].description == "My First Invoice Item (created for API docs)"


def test_stripes_own_invoice_is_written_off_on_the_day_that_stripe_says() -> None:
    record = stripe()["invoice"] | {
        "status": "uncollectible",
        "effective_at": None,
        "status_transitions": {"marked_uncollectible_at": 1_775_001_600, "finalized_at": 1_767_225_600},
    }
    invoiced, written = postings(STARTER, "invoice", as_row(parse_invoice(record)))
    assert (invoiced.effective_date, written.effective_date) == (date(2026, 1, 1), date(2026, 4, 1))
    assert book(written) == [("6900", 1_000), ("1210", -1_000)]


def test_stripes_own_credit_note_balances_or_names_its_identity() -> None:
    note = parse_credit_note(stripe()["credit_note"])
    row = as_row(note)
    if sum(line.amount for line in note.lines) == note.subtotal:
        (found,) = postings(STARTER, "invoice", row)
        assert sum(amount for _, amount in book(found)) == 0
        assert found.name == "credit-note"
    else:
        assert "subtotal = sum of the lines' amounts" in unmapped(STARTER, "invoice", row).message


# ---------------------------------------------------------------- banks


def test_every_booked_line_of_the_bank_files_goes_against_clearing() -> None:
    """Once, with its sign; a line that is pending, or only announced, posts nothing."""
    folder = CORPORA / "camt"
    if not folder.is_dir():
        pytest.skip(f"the bank files are not at {folder} (set CORPORA)")
    ruleset = starter('default = "1190"\n')
    count = 0
    for path in sorted([*folder.glob("camt05*.xml"), *(CORPORA / "mt940").glob("jejik__*.sta")]):
        if path.name == "camt053.v2.wrong.xml":
            continue
        for statement in parse_statement_file(path.read_bytes(), path.name):
            for position, each in enumerate(statement.transactions):
                row = stored(transaction_row(statement, each, position), "bank")
                found = postings(ruleset, "bank_transaction", row, Rates(), each.currency)
                if each.status == "BOOKED" and each.amount and not statement.provisional:
                    assert functional(found[0]) == [(found[0].lines[0].account, each.amount), ("1199", -each.amount)]
                    count += 1
                else:
                    assert found == ()
    assert count > 10
