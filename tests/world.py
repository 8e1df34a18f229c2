"""Books and documents of every shape in one database: three ledgers, and sources that answer, that stopped answering and that
never answered. Reading them twice gives the same, so that two executions can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

import asyncpg
import orjson

from gateway.limits import Limits
from resolvers.reconciliation_rows import PLACES
from sources.documents import (
    BankAccount,
    BankTransactionStatus,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    PaymentStatus,
    PaymentType,
    TaxAmount,
)
from sources.ledger.queries import ACCOUNTS_BY_CODE, ENTRY_ORDERS, LINES_BY_DATE
from sources.matching.open_items import AGEING_BY_PARTY, OPEN_ITEMS_BY_DAY
from sources.mirror.settings import SourceSettings
from sources.pipeline import rulesets
from sources.pipeline.taking import see
from sources.reading import Order, encode_cursor
from tests.graph import Graph, caller, entry, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.sources.pipeline.company import rules

LIMITS = Limits(cost=10**12, aliases=1_000, fields=50_000, tokens=50_000, selections_per_name=1_000)
"""Documents are not refused for their size."""

ODD = '\u2028 " \\ / <\u00e9\u0301\u200f\U0001f701>\t\n'
IBAN = "DE02120300000000202051"
DATES = ["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2026-03-15", "2026-12-31"]
IDS = [
    "ledger:us", "ledger:eu", "ledger:no", "ledger:us:", "account:us:1000", "account:us:9999", "account:jp:", "entry:us:1",
    "entry:us:2", "entry:eu:1", "entry:us:999", "entry:us:01", "entry:us:9223372036854775807", "line:us:1:1", "line:us:1:9",
    "line:us:6:2", "line:us:1", "invoice:us:stripe:in:1\"", "invoice:us:stripe:in_2", "invoice:us:stripe:gone",
    "invoice:us:dead:x", "invoice:us:nobody:x", "payment:us:stripe:ch:1", "payment:us:stripe:po_1", "payment:us:dead:x",
    "payroll-run:eu:payroll:run-1", "payroll-run:eu:payroll:run-3",
    "payroll-run:us:payroll:run-1", f"bank-account:eu:bank:{IBAN}", "bank-account:us:bank:us:1%", "bank-account:eu:bank:x",
    f"bank-transaction:eu:bank:{IBAN}:t1", "bank-transaction:us:bank:us%3A1%25:u1", f"bank-transaction:us:bank:{IBAN}:t1",
    "nothing", "", ":", "ledger", "entry:us:", "entry:\u00e9:1", "ENTRY:us:1",
]  # fmt: skip
CURSORS = [
    encode_cursor(ENTRY_ORDERS["SEQUENCE_ASC"], [2]),
    encode_cursor(ENTRY_ORDERS["EFFECTIVE_DATE_DESC"], ["2026-03-15", 6]),
    encode_cursor(ACCOUNTS_BY_CODE, ["2000"]),
    encode_cursor(LINES_BY_DATE, ["2026-03-15", 6, 1]),
]
PREVIEWED = encode_cursor(
    Order("preview", (("kind", "text"), ("source", "text"), ("account", "text"), ("external_id", "text"))),
    ["invoice", "stripe", "", "in_2"],
)
OPEN_BEHIND = encode_cursor(OPEN_ITEMS_BY_DAY, ["2026-03-01", "stripe", "in_2"])
AGED_BEHIND = encode_cursor(AGEING_BY_PARTY, ["", "USD"])
RULES = rules().replace("1700", "2000").replace("6000", "5000").replace("7000", "5000")
RECONCILED = encode_cursor(PLACES, ["2026-02-01", "invoice", "", "in_3"])
POOLS: dict[str, list[Any]] = {
    "overdueBy": [0, 30, -30, 2**31 - 1, -(2**31)],
    "Query.openItems(after)": ["garbage", OPEN_BEHIND],
    "Query.openItemsByParty(after)": ["garbage", AGED_BEHIND],
    "leastScore": [0, 50, 2**31 - 1, -1],
    "party": ["cus_1", "x", ""],
    "id": IDS,
    "ids": IDS,
    "ledger": [*["us"] * 8, "eu", "jp", "no"],
    "Query.ledger(code)": ["us", "us", "us", "eu", "no", ""],
    "code": ["1000", "1100", "1200", "4000", "5000", "9999", "1000 "],
    "codes": ["1000", "1100", "1200", "5000", "x"],
    "codePrefix": ["1", "1", "40", "", "z"],
    "sequence": [1, 1, 2, 3, 4, 6, 6, 8, 0, -1, 999, 2**53],
    "first": [1, 2, 3, 3, 5, 20, 50, 50, 1000, 0, 1001, -1],
    "last": [1, 2, 3, 3, 5, 20, 50, 50, 0, -1],
    "after": [*CURSORS, *CURSORS, "garbage", ""],
    "before": [*CURSORS, *CURSORS, "garbage"],
    "asOf": DATES,
    "from": DATES[:5],
    "to": DATES[3:],
    "effectiveFrom": DATES[:5],
    "effectiveTo": DATES[3:],
    "postedFrom": ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+01:00"],
    "postedTo": ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+01:00"],
    "accountCodes": ["1000", "4000", "5000", "x"],
    "sources": ["stripe", "dead", "x"],
    "PaymentFilter.sources": ["stripe", "stripe", "stripe", "dead", "x"],
    "invoice": ['in:1"', "x"],
    "payout": ["po_1", "x"],
    "occurredFrom": DATES[:4],
    "occurredTo": DATES[3:],
    "InvoiceFilter.sources": ["stripe", "stripe", "stripe", "dead", "x"],
    "Query.payrollRuns(sources)": ["payroll", "payroll", "payroll", "bank"],
    "Query.bankAccounts(sources)": ["bank", "bank", "bank", "stripe"],
    "Query.cashPositions(sources)": ["bank", "bank", "bank", "stripe"],
    "EntryFilter.sources": ["stripe", "", "x"],
    "LineFilter.sources": ["stripe", "", "x"],
    "journals": ["SALES", "x"],
    "reference": ["R1", "x"],
    "idempotencyKey": ["k1", "x"],
    "name": ["team", "x"],
    "value": ["a", "x"],
    "minTotal": ["0", "10.005", 1000000, "9" * 40, "-3"],
    "currency": ["USD", "EUR", "JPY", "x"],
    "maxAge": [*[3600] * 5, 10**9, 0, -1],
    "ledgers": [*["us", "eu"] * 4, "no"],
    "issuedFrom": DATES[:4],
    "issuedTo": DATES[3:],
    "paidFrom": DATES[:4],
    "paidTo": DATES[3:],
    "IntegrationIssueFilter.sources": ["stripe", "stripe", "dead", "x"],
    "IntegrationIssueFilter.codes": ["NO_RULE", "UNREADABLE_FILE", "x"],
    "Query.syncRuns(source)": ["dead", "dead", "x", ""],
    "Query.previewMapping(after)": ["garbage", PREVIEWED],
    "Query.reconciliation(after)": ["garbage", RECONCILED],
    "Query.reconciliation(source)": [*["stripe"] * 4, "bank", "dead", ""],
    "text": [RULES, RULES, RULES, 'extends = "starter"', "", "[[rules]]\nname = 1", ODD],
    "version": [1, 1, 2, 2, 3, 0, 2**31 - 1],
    "source": ["stripe", "stripe", "bank", "dead", ""],
}
CALLERS = [
    caller(ledgers=["us", "eu"]),
    caller(ledgers=["us", "eu", "no"]),
    caller(ledgers=["eu", "us"]),
    caller(),
    caller(ledgers=["us"]),
    caller(ledgers=["eu", "no"]),
    caller(ledgers=["jp", "late"]),
    caller(ledgers=[]),
]


@contextlib.asynccontextmanager
async def open_world(database_url: str, owner_url: str, limits: Limits = LIMITS) -> AsyncIterator[Graph]:
    """The graph of everything below, each source read as far as it ever will be."""
    async with open_graph(database_url, limits, sources=sources()) as graph:
        await keep_books(graph)
        await read_sources(graph)
        await link_documents(owner_url)
        await keep_rules(graph)
        await leave_traces(owner_url)
        yield graph


# ---------------------------------------------------------------- books


async def keep_books(graph: Graph) -> None:
    """Foreign currency, revaluation, reversal, dimensions, odd texts, a parent and a closed account, a locked period."""
    for code, currency in (("us", "USD"), ("eu", "EUR"), ("jp", "JPY")):
        await graph.found(code, currency)
    sales = [entry(f"k{n}", f"{n}.{n}0", effectiveDate=DATES[n % len(DATES)]) for n in range(1, 6)]
    foreign = entry("fx", journal="SALES", reference="R1", documentDate="2026-03-01", lines=[
        {"account": "1000", "debit": "10", "currency": "EUR", "functionalAmount": "11.50"},
        {"account": "4000", "credit": "11.50", "description": ODD, "taxCode": "V19", "dimensions": [
            {"name": "team", "value": "a"}, {"name": "b", "value": "é"}]},
    ])  # fmt: skip
    reval = entry("rv", lines=[
        {"account": "1000", "debit": "0", "currency": "EUR", "functionalAmount": "0.50"},
        {"account": "4000", "credit": "0.50"},
    ])  # fmt: skip
    posted = await graph.post(
        *sales, foreign, reval, *[entry(f"eu{n}", "7", ledger="eu") for n in range(3)], entry("jp1", "7", ledger="jp")
    )
    assert {result["__typename"] for result in posted} == {"EntryPosted"}, posted
    answer = await graph.data(
        """mutation {
          reverseEntry(input: {ledger: "us", sequence: 2, idempotencyKey: "r", effectiveDate: "2026-12-31"}) { __typename }
          a: updateAccount(input: {ledger: "us", code: "1100", parent: "1000", active: false}) { __typename }
          b: createAccounts(input: {ledger: "us", accounts: [{code: "1200", name: "Till", type: ASSET, currency: "EUR"}]}) { __typename }
          c: updateAccount(input: {ledger: "us", code: "5000", parent: "3000"}) { __typename }
          lockPeriods(input: {ledger: "us", through: "2025-12-31"}) { __typename } }"""
    )
    assert answer["c"]["__typename"] == "AccountsSaved", answer


# ---------------------------------------------------------------- sources


def sources() -> Sequence[tuple[SourceSettings, Script]]:
    """stripe feeds us, payroll eu, the bank eu but for one account; dead would feed a ledger that does not exist: it is never
    asked, so that its state is the same however often documents run."""
    stripe, payroll, bank, dead = (Script(lists_everything=True) for _ in range(4))
    stripe.pages, payroll.pages, bank.pages = (
        Kit.pages(invoices() + payments()),
        Kit.pages(runs()),
        Kit.pages(statements()),
    )
    payroll.slips = {"run-1": (Kit.slip(department="R&D", gross=120_00), Kit.slip("slip-2", employee_name=ODD))}
    return (
        (Kit.stripe(ledger="us", max_age=10**8, post_from=date(2026, 1, 15)), stripe),
        (Kit.payroll(ledger="eu", max_age=10**8), payroll),
        (Kit.bank(ledger="eu", accounts={"us:1%": "us"}, max_age=10**8), bank),
        (Kit.stripe(name="dead", ledger="late"), dead),
    )


def invoices() -> list[Any]:
    return [
        Kit.invoice('in:1"', number=ODD, party=Party(name=ODD, external_id="cus_1", tax_id="DE1"), due_date=date(2026, 4, 1),
                    taxes=(TaxAmount(amount=190, code="VAT", rate="19.5", taxable=1000), TaxAmount(amount=0)),
                    lines=(InvoiceLine(amount=1000, description=ODD, quantity="1.50", tax=7, tax_code="V", service_from=date(2026, 1, 1),
                                       service_to=date(2026, 1, 31)), InvoiceLine(amount=0))),
        Kit.invoice("in_2", issue_date=None, kind=InvoiceKind.CREDIT_NOTE, taxes=(), subtotal=-1000, total=-810),
        Kit.invoice("in_3", issue_date=date(2026, 2, 1), direction=InvoiceDirection.PAYABLE, currency="BHD"),
        Kit.invoice("in_4", issue_date=date(2026, 2, 1), status=InvoiceStatus.PAID, currency="JPY", rounding=1, prepaid=5, total=1191),
    ]  # fmt: skip


def payments() -> list[Any]:
    return [
        Kit.payment("ch:1", party=Party(name=ODD, external_id="cus_1"), invoice_external_id='in:1"', description=ODD, reference=ODD,
                    available_on=date(2026, 3, 4), presented_amount=900, presented_currency="JPY"),
        Kit.payment("re_1", type=PaymentType.REFUND, status=PaymentStatus.FAILED, amount=-1000, fee=None, net=None,
                    parent_external_id="ch:1", occurred_on=date(2026, 2, 1), currency="BHD"),
        Kit.payment("po_1", type=PaymentType.PAYOUT, amount=-941, fee=0, net=-941, bank_account="ba_1", paid_out=("ch:1",)),
    ]  # fmt: skip


def runs() -> list[Any]:
    full = {"gross": 120_00, "employee_taxes": 15_00, "deductions": 5_00, "reimbursements": 0, "employer_taxes": 9_00,
            "employer_contributions": 1_00}  # fmt: skip
    return [
        Kit.run("run-1", **full),
        Kit.run("run-2", pay_date=date(2026, 2, 28), source_status=ODD),
        Kit.run("run-3", pay_date=date(2026, 1, 31), total_cost=140_00),
    ]


def statements() -> list[Any]:
    american = BankAccount(external_id="us:1%", currency="USD", name=ODD)
    pending = {"status": BankTransactionStatus.PENDING}
    return [
        Kit.statement("s1", Kit.moved("t1", 10_00, date(2026, 3, 1), description=ODD, counterparty="Globex", reference="R"),
                      Kit.moved("t2", -3_00, date(2026, 3, 2), value_date=date(2026, 3, 3)),
                      from_date=date(2026, 3, 1), to_date=date(2026, 3, 31), opening=100_00, closing=107_00,
                      closing_available=90_00, warnings=(ODD,)),
        Kit.statement("s2", Kit.moved("t3", 1_00, None, **pending), to_date=date(2026, 4, 1)),
        Kit.statement("u", Kit.moved("u1", 5_00, date(2026, 3, 5), currency="USD"), account=american, to_date=date(2026, 3, 31)),
    ]  # fmt: skip


async def read_sources(graph: Graph) -> None:
    """Reads what can be read, payslips of some runs among it; afterwards no source answers any more."""
    read = """{ invoices(filter: {ledgers: ["us", "eu"]}) { totalCount } bankAccounts { totalCount }
      payrollRuns(ledgers: ["us", "eu"], first: 2) { nodes { payslips { net } } } }"""
    async with asyncio.timeout(30):
        while "errors" in (answer := await graph.run(read)):
            assert {error["extensions"]["code"] for error in answer["errors"]} == {"SOURCE_SYNCING"}, answer
    for pulls in graph.services.refresher._sources.values():
        pulls.connector.failure = Kit.Unavailable("it went away.")  # type: ignore[attr-defined]
    await graph.run(
        "{ invoices(maxAge: 0) { totalCount } bankAccounts(maxAge: 0) { totalCount } payrollRuns(maxAge: 0) { totalCount } }"
    )


async def link_documents(owner_url: str) -> None:
    """Entries that came from documents, as the mapping of sources will state it."""
    owner = await asyncpg.connect(owner_url)
    await owner.execute("SET ledgergraph.ledgers = '*'")
    await owner.execute(
        """INSERT INTO mirror.document_entry (ledger_id, source, kind, account, external_id, sequence)
           SELECT ledger_id, stated.source, stated.kind, stated.account, stated.external_id, stated.sequence
           FROM (VALUES ('us', 'stripe', 'invoice', '', 'in:1"', 1), ('us', 'stripe', 'invoice', '', 'in_2', 1),
                        ('us', 'stripe', 'invoice', '', 'gone', 2), ('us', 'stripe', 'payment', '', 'ch:1', 1),
                        ('eu', 'payroll', 'payroll_run', '', 'run-1', 1),
                        ('us', 'bank', 'bank_transaction', 'us:1%', 'u1', 1))
                AS stated (ledger, source, kind, account, external_id, sequence)
           JOIN ledger.ledger ON ledger.code = stated.ledger"""
    )
    await owner.close()


# ---------------------------------------------------------------- pipeline


async def keep_rules(graph: Graph) -> None:
    """Two versions for one ledger, the second one active."""
    us = (await graph.services.directory.resolve(["us"]))["us"].ledger_id
    async with graph.services.database.writer() as connection, connection.transaction():
        await see(connection, us)
        for text, name in ((rules(), "first"), (RULES, ODD)):
            saved = await rulesets.save(connection, us, text=text, name=name, created_by=ODD)
        await rulesets.activate(connection, us, saved.version)


async def leave_traces(owner_url: str) -> None:
    """Issues in every state, an entry of a document, and proposals: as the pipeline leaves them."""
    owner = await asyncpg.connect(owner_url)
    await owner.execute("SET ledgergraph.ledgers = '*'")
    draft = {
        "effective_date": "2026-02-01", "document_date": None, "description": ODD, "journal": None, "reference": "R1",
        "lines": [{"account": "1000", "debit": "7.00", "currency": "EUR", "functional_amount": "8.00",
                   "dimensions": [["team", "a"]]}, {"account": "4000", "credit": "8.00", "description": ODD, "tax_code": "V"}],
    }  # fmt: skip
    for statement in _TRACES:
        await owner.execute(statement, *([orjson.dumps(draft).decode()] if "$1" in statement else []))
    await owner.close()


_US = "(SELECT ledger_id FROM ledger.ledger WHERE code = 'us')"
_TRACES = (
    """INSERT INTO mirror.issue (ledger_id, source, code, subject, message, first_seen, opened_at, last_seen, kind, account,
            external_id, hint, excerpt, attempts, next_attempt_at, closed_at, resolved_at, resolved_by, note, muted_until)
        SELECT ledger_id, stated.*
        FROM ledger.ledger, (VALUES
            ('stripe', 'NO_RULE', 'invoice in_2', 'm', '2026-01-02'::timestamptz, '2026-01-02'::timestamptz, '2026-01-03'::timestamptz,
                'invoice', '', 'in_2', 'h', '{"number": "1"}', 3, '2026-05-01'::timestamptz, NULL::timestamptz, NULL::timestamptz,
                NULL, NULL, NULL::timestamptz),
            ('bank', 'UNREADABLE_FILE', 'a.xml', 'm', '2026-01-02 00:00:00.5', '2026-01-02', '2026-01-03', NULL, NULL, NULL, NULL, NULL,
                0, NULL, NULL, NULL, NULL, NULL, '2999-01-01'),
            ('bank', 'NO_RULE', 'bank_transaction us:1% u1', 'm', '2026-01-02', '2026-01-04', '2026-01-05', 'bank_transaction', 'us:1%',
                'u1', NULL, NULL, 1, NULL, '2026-01-06', '2026-01-06', 'ana', 'done', NULL),
            ('stripe', 'MISSING_RATE', 'payment ch:1', 'm', '2026-01-02', '2026-01-04', '2026-01-05', 'payment', '', 'ch:1', NULL, NULL,
                1, NULL, '2026-01-06', NULL, NULL, NULL, NULL))
            AS stated (source, code, subject, message, first_seen, opened_at, last_seen, kind, account, external_id, hint, excerpt,
                attempts, next_attempt_at, closed_at, resolved_at, resolved_by, note, muted_until)
        WHERE ledger.code IN ('us', 'eu')""",
    f"""INSERT INTO pipeline.document (ledger_id, source, kind, external_id, status, processed_at)
        VALUES ({_US}, 'stripe', 'invoice', 'in:1"', 'POSTED', now()), ({_US}, 'stripe', 'invoice', 'in_3', 'PROPOSED', now())""",
    f"""INSERT INTO pipeline.posting (ledger_id, source, kind, external_id, name, generation, number, outcome, status, sequence,
            rule, ruleset_version, effective_date)
        VALUES ({_US}, 'stripe', 'invoice', 'in:1"', 'invoice', 1, 1, decode(repeat('00', 32), 'hex'), 'POSTED', 1, 'sale', 2,
                '2026-01-31'),
            ({_US}, 'stripe', 'invoice', 'in:1"', 'other', 1, 1, decode(repeat('00', 32), 'hex'), 'POSTED', 3, 'sale', 1,
                '2026-01-31'),
            ({_US}, 'stripe', 'invoice', 'in_3', 'bill', 1, 1, decode(repeat('00', 32), 'hex'), 'REJECTED', NULL, 'bill', 1,
                '2026-01-31'),
            ({_US}, 'stripe', 'invoice', 'in_3', 'bill', 1, 2, decode(repeat('00', 32), 'hex'), 'PROPOSED', NULL, 'bill', 2,
                '2026-01-31')""",
    f"""INSERT INTO pipeline.proposal (ledger_id, source, kind, external_id, name, generation, number, draft, created_at, decided_at,
            decided_by, decision)
        VALUES ({_US}, 'stripe', 'invoice', 'in_3', 'bill', 1, 1, $1, '2026-02-01', '2026-02-02', 'ana', 'REJECTED')""",
    f"""INSERT INTO matching.item (ledger_id, kind, source, account, external_id, side, currency, amount, used, ready, dated)
        VALUES ({_US}, 'bank_transaction', 'bank', 'us:1%', 'u1', 'clearing', 'USD', 500, 300, true, '2026-03-05'),
            ({_US}, 'bank_transaction', 'bank', 'us:1%', 'gone', 'clearing', 'USD', 900, 0, true, '2026-03-06'),
            ({_US}, 'payment', 'stripe', '', 'po_1', 'clearing', 'USD', 941, 0, true, '2026-03-02'),
            ({_US}, 'invoice', 'stripe', '', 'in_4', 'receivable', 'JPY', 1191, 0, true, '2026-02-01')""",
    f"""INSERT INTO matching.match (ledger_id, match_id, source, account, external_id, status, score, reasons, created_at)
        VALUES ({_US}, 1, 'bank', 'us:1%', 'u1', 'CERTAIN', 80, '[{{"code": "AMOUNT", "points": 30, "message": "m"}}]', '2026-03-06'),
            ({_US}, 2, 'bank', 'us:1%', 'gone', 'PROPOSED', 20, '[]', '2026-03-06'),
            ({_US}, 3, 'bank', 'us:1%', 'gone', 'WITHDRAWN', 10, '[]', '2026-03-07')""",
    f"""INSERT INTO matching.allocation (ledger_id, match_id, position, kind, source, external_id, side, currency, amount, bank_amount,
            party_id)
        VALUES ({_US}, 1, 0, 'invoice', 'stripe', 'in:1"', 'receivable', 'USD', 200, 200, 'cus_1'),
            ({_US}, 1, 1, 'on_account', '', '', 'receivable', 'USD', 100, 100, 'cus_1'),
            ({_US}, 2, 0, 'payment', 'stripe', 'po_1', 'clearing', 'USD', 900, 900, NULL),
            ({_US}, 3, 0, 'account', '', '5000', 'account', 'USD', 900, 900, NULL)""",
    f"""INSERT INTO pipeline.proposal (ledger_id, source, kind, external_id, name, generation, number, draft, created_at)
        VALUES ({_US}, 'stripe', 'invoice', 'in_3', 'bill', 1, 2, $1, '2026-02-03')""",
)
