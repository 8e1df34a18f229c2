"""Nothing is readable or writable without a scope for it: every field of the schema against every scope.

The expectation below is written by hand; the documents are generated from the schema. Operations are prepared by an engine
whose database was never opened, so whatever is refused here was refused before anything could be fetched.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_list_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)

from gateway.authentication import SCOPES
from gateway.engine import BoundOperation, Engine
from gateway.limits import Limits
from gateway.requests import GraphQLRequest, RequestRefused
from resolvers.context import Services
from resolvers.nodes import KINDS
from sources.caller import Caller
from sources.database.pool import Database
from sources.feed import Feed
from sources.ledger.directory import Directory
from sources.ledger.posting import Poster
from sources.mirror.refresh import Refresher
from tests.documents import literal
from tests.graph import SCHEMA

LEDGER, POST, ADMIN = {"ledger:read"}, {"ledger:post"}, {"ledger:admin"}
INVOICES, PAYROLL, CASH = {"invoices:read"}, {"payroll:read"}, {"cash:read"}
PERSONAL, SOURCES = {"payroll:personal"}, {"sources:read"}
KEEPERS, APPROVERS, SUBMITTERS = {"sources:admin"}, {"mappings:approve"}, {"documents:submit"}
MATCHES = INVOICES | CASH
MATCHERS = {"matches:approve"} | MATCHES
INHERITED: set[str] = set()
"""Readable by whoever was let to the field that led there."""

TYPES: dict[str, set[str]] = {
    "Ledger": LEDGER, "Account": LEDGER, "Balance": LEDGER, "JournalEntry": LEDGER, "JournalLine": LEDGER,
    "TrialBalance": LEDGER, "TrialBalanceRow": LEDGER, "PostingEvent": LEDGER,
    "Invoice": INVOICES, "Payment": INVOICES, "PayrollRun": PAYROLL, "Payslip": PERSONAL,
    "BankAccount": CASH, "BankTransaction": CASH, "CashPosition": CASH,
    "Source": INHERITED, "Freshness": INHERITED, "Dimension": INHERITED, "Party": INHERITED, "TaxAmount": INHERITED,
    "InvoiceLine": INHERITED, "CashPositions": INHERITED, "PageInfo": INHERITED, "Node": INHERITED, "Document": INHERITED,
    "EntryPosted": INHERITED, "EntryRejected": INHERITED, "IdempotencyConflict": INHERITED, "PostEntriesPayload": INHERITED,
    "LedgerSaved": INHERITED, "AccountsSaved": INHERITED, "ChangeRejected": INHERITED, "RejectionReason": INHERITED,
    "AccountConnection": INHERITED, "AccountEdge": INHERITED,
    "JournalEntryConnection": INHERITED, "JournalEntryEdge": INHERITED,
    "JournalLineConnection": INHERITED, "JournalLineEdge": INHERITED, "RulePosting": INHERITED,
    "InvoiceConnection": INHERITED, "InvoiceEdge": INHERITED, "PaymentConnection": INHERITED, "PaymentEdge": INHERITED,
    "PayrollRunConnection": INHERITED, "PayrollRunEdge": INHERITED,
    "IssueEvent": SOURCES, "IntegrationIssue": INHERITED, "IntegrationIssueConnection": INHERITED, "IntegrationIssueEdge": INHERITED,
    "SyncRun": INHERITED, "SyncRunConnection": INHERITED, "SyncRunEdge": INHERITED,
    "MappingVersion": INHERITED, "MappingVersionConnection": INHERITED, "MappingVersionEdge": INHERITED,
    "MappingFault": INHERITED, "MappingInvalid": INHERITED, "MappingSaved": INHERITED, "MappingPreview": INHERITED,
    "DocumentPreview": LEDGER, "PostingChange": LEDGER, "DraftEntry": LEDGER, "DraftLine": LEDGER,
    "Proposal": LEDGER, "ProposalConnection": INHERITED, "ProposalEdge": INHERITED,
    "SourceSynced": INHERITED, "IssueSaved": INHERITED, "ProposalsDecided": INHERITED, "DocumentsReposted": INHERITED,
    "DocumentTaken": INHERITED, "DocumentRejected": INHERITED, "SubmitDocumentsPayload": INHERITED,
    "BankReconciliation": MATCHES | LEDGER, "ReconciledBankAccount": MATCHES, "OpenAgeing": MATCHES, "ReconciledLine": MATCHES,
    "ReconciledTransaction": MATCHES,
    "FileTaken": INHERITED, "FileRejected": INHERITED, "SubmitFilesPayload": INHERITED,
    "RatesSaved": INHERITED,
    "Reconciliation": INHERITED, "ReconciliationTotal": LEDGER, "ReconciliationStateTotal": INHERITED,
    "ReconciledDocument": LEDGER, "ReconciledAmount": LEDGER,
    "Subledger": INVOICES, "SubledgerTotal": INVOICES, "SubledgerParty": INVOICES,
    "BankTieOut": CASH, "UnmatchedTransaction": CASH, "UnmatchedLine": CASH,
    "BankMatch": MATCHES, "MatchReason": MATCHES, "MatchAllocation": MATCHES, "OpenBankTransaction": MATCHES, "OpenItem": MATCHES,
    "PartyAgeing": MATCHES, "OpenTotal": MATCHES, "OpenPayout": MATCHES, "InvoiceWithoutMoney": MATCHES, "MatchingRule": MATCHES,
    "OpenPayrollRun": PAYROLL, "BankAndBooks": INHERITED, "MatchSaved": INHERITED, "MatchingRuleRemoved": INHERITED,
    "BankMatchConnection": INHERITED, "BankMatchEdge": INHERITED, "OpenItemConnection": INHERITED, "OpenItemEdge": INHERITED,
    "OpenBankTransactionConnection": INHERITED, "OpenBankTransactionEdge": INHERITED,
    "PartyAgeingConnection": INHERITED, "PartyAgeingEdge": INHERITED,
    "MatchingRuleConnection": INHERITED, "MatchingRuleEdge": INHERITED,
    "BankAccountConnection": INHERITED, "BankAccountEdge": INHERITED,
    "BankTransactionConnection": INHERITED, "BankTransactionEdge": INHERITED,
}  # fmt: skip
FIELDS: dict[str, set[str]] = {
    "Query.node": INHERITED, "Query.nodes": INHERITED,  # by the types of the ids: see below
    "Query.ledgers": LEDGER, "Query.ledger": LEDGER, "Query.account": LEDGER, "Query.accounts": LEDGER,
    "Query.entry": LEDGER, "Query.entries": LEDGER, "Query.journalLines": LEDGER, "Query.trialBalance": LEDGER,
    "Query.invoices": INVOICES, "Query.payments": INVOICES, "Query.payrollRuns": PAYROLL,
    "Query.bankAccounts": CASH, "Query.cashPositions": CASH,
    "Query.sources": SOURCES, "Query.integrationIssues": SOURCES, "Query.syncRuns": SOURCES,
    "Query.mappings": SOURCES, "Query.previewMapping": SOURCES, "Query.proposals": SOURCES,
    "Mutation.createLedger": ADMIN, "Mutation.updateLedger": ADMIN, "Mutation.lockPeriods": ADMIN,
    "Mutation.createAccounts": ADMIN, "Mutation.updateAccount": ADMIN,
    "Mutation.postEntry": POST, "Mutation.postEntries": POST, "Mutation.reverseEntry": POST,
    "Mutation.syncSource": KEEPERS, "Mutation.resolveIssue": KEEPERS, "Mutation.muteIssue": KEEPERS,
    "Mutation.submitDocuments": SUBMITTERS, "Mutation.submitFiles": SUBMITTERS,
    "Mutation.saveMapping": KEEPERS, "Mutation.setRates": KEEPERS,
    "Mutation.approveProposals": APPROVERS, "Mutation.rejectProposals": APPROVERS, "Mutation.repostDocuments": APPROVERS,
    "Query.matchProposals": MATCHES, "Query.unmatchedTransactions": MATCHES, "Query.openItems": MATCHES,
    "Query.openItemsByParty": MATCHES, "Query.bankAndBooks": MATCHES, "Query.matchingRules": MATCHES,
    "BankAndBooks.bankOnlyTotals": MATCHES, "BankAndBooks.bankOnly": MATCHES, "BankAndBooks.payoutTotals": MATCHES,
    "BankAndBooks.freshness": MATCHES, "BankAndBooks.reconciliations": MATCHES | LEDGER,
    "BankAndBooks.payouts": MATCHES, "BankAndBooks.paidWithoutMoneyTotals": MATCHES,
    "BankAndBooks.paidWithoutMoney": MATCHES, "BankAndBooks.payrollRuns": PAYROLL,
    "Mutation.confirmMatch": MATCHERS, "Mutation.rejectMatch": MATCHERS, "Mutation.unmatch": MATCHERS,
    "Mutation.matchManually": MATCHERS, "Mutation.removeMatchingRule": MATCHERS,
    "Query.reconciliation": SOURCES | LEDGER, "Reconciliation.subledgers": INVOICES, "Reconciliation.banks": CASH,
    "ReconciledDocument.currency": INVOICES | PAYROLL | CASH, "ReconciledDocument.stated": INVOICES | PAYROLL | CASH,
    "ReconciliationTotal.stated": INVOICES | PAYROLL | CASH, "ReconciliationStateTotal.stated": INVOICES | PAYROLL | CASH,
    "Subscription.postings": LEDGER, "Subscription.integrationIssues": SOURCES,
    "Ledger.id": INHERITED, "Ledger.code": INHERITED, "Ledger.name": INHERITED, "Ledger.functionalCurrency": INHERITED,
    "JournalEntry.documents": INVOICES | PAYROLL | CASH, "IntegrationIssue.excerpt": INVOICES | PAYROLL | CASH,
    "JournalEntry.rulePosting": SOURCES, "PayrollRun.payslips": PERSONAL,
    "Source.status": SOURCES, "Source.lastSuccessAt": SOURCES, "Source.lastError": SOURCES,
    "Source.asOf": SOURCES, "Source.documentsRead": SOURCES, "Source.cursor": SOURCES,
}  # fmt: skip
NODES = {
    "ledger:us": LEDGER,
    "account:us:1000": LEDGER,
    "entry:us:1": LEDGER,
    "line:us:1:1": LEDGER,
    "invoice:us:stripe:in_1": INVOICES,
    "payment:us:stripe:ch_1": INVOICES,
    "payroll-run:us:xero:1": PAYROLL,
    "bank-account:us:bank:DE1": CASH,
    "bank-transaction:us:bank:DE1:1": CASH,
}
SAMPLES: dict[str, Any] = {
    "String": "us", "ID": "nothing", "Int": 1, "BigInt": 1, "Decimal": "1", "Date": "2026-01-31", "Boolean": True,
    "DateTime": "2026-01-31T00:00:00Z",
}  # fmt: skip


def expected(parent: str, field: str) -> set[str]:
    """The scopes that a field demands by itself."""
    return FIELDS.get(f"{parent}.{field}", TYPES.get(parent, INHERITED))


def sample(kind: Any) -> Any:
    """A value of an input type."""
    bare = get_nullable_type(kind)
    if is_list_type(bare):
        return [sample(bare.of_type)]
    if is_enum_type(bare):
        return next(iter(bare.values))
    if is_input_object_type(bare):
        return {name: sample(field.type) for name, field in bare.fields.items() if is_required_input_field(field)}
    return SAMPLES[bare.name]


@dataclass(frozen=True)
class Step:
    """One field on the way to another; `on`: the fragment's type that its selection goes on in."""

    parent: str
    field: str
    on: str | None = None

    def text(self, inner: str) -> str:
        definition: GraphQLField = SCHEMA.type_map[self.parent].fields[self.field]
        arguments = [
            f"{name}: {literal(sample(argument.type), argument.type)}"
            for name, argument in definition.args.items()
            if is_required_argument(argument)
        ]
        given = f"({', '.join(arguments)})" if arguments else ""
        if not is_composite_type(get_named_type(definition.type)):
            return f"{self.field}{given}"
        inner = f"... on {self.on} {{ {inner} }}" if self.on else inner
        return f"{self.field}{given} {{ {inner} }}"


Path = tuple[Step, ...]


@cache
def ways() -> dict[tuple[str, str], Path]:
    """For each operation and type the shortest way there; not through node and nodes."""
    found: dict[tuple[str, str], Path] = {}
    queue: deque[tuple[str, str, Path]] = deque()
    for kind, root in (
        ("query", SCHEMA.query_type),
        ("mutation", SCHEMA.mutation_type),
        ("subscription", SCHEMA.subscription_type),
    ):
        assert root is not None
        queue.append((kind, root.name, ()))
    while queue:
        kind, name, path = queue.popleft()
        if (kind, name) in found:
            continue
        found[kind, name] = path
        for field, definition in SCHEMA.type_map[name].fields.items():
            if (name, field) in {("Query", "node"), ("Query", "nodes")}:
                continue
            named = get_named_type(definition.type)
            if is_abstract_type(named):
                for concrete in SCHEMA.get_possible_types(named):
                    queue.append((kind, concrete.name, (*path, Step(name, field, concrete.name))))
            if is_object_type(named) or is_interface_type(named):
                queue.append((kind, named.name, (*path, Step(name, field))))
    return found


def documents() -> Iterator[tuple[str, Path]]:
    """A minimal document for each field of each type that an operation can reach, with the way to it."""
    for (kind, name), way in ways().items():
        for field in SCHEMA.type_map[name].fields:
            path = (*way, Step(name, field))
            text = "__typename"
            for step in reversed(path):
                text = step.text(text)
            yield f"{kind} {{ {text} }}", path


DOCUMENTS = dict(documents())


def demands(path: Path) -> dict[tuple[str, ...], set[str]]:
    """What the fields along a way demand, by their response paths."""
    found = {}
    for length, step in enumerate(path, 1):
        scopes = expected(step.parent, step.field)
        if scopes:
            found[tuple(each.field for each in path[:length])] = scopes
    return found


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Prepares operations; could fetch nothing."""
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    poster = Poster(database, queue_limit=1)
    services = Services(database, Directory(database), poster, Refresher(database, ()))
    return Engine(SCHEMA, services, Feed(database), Limits(plan_cache=10_000))


def attempt(
    engine: Engine, query: str, by: Caller, **variables: Any
) -> tuple[BoundOperation | None, dict[tuple[str, ...], str]]:
    """The operation, or None and the refusal's messages by path."""
    request = GraphQLRequest(query, None, variables, "test")
    try:
        return engine.prepare(request, by), {}
    except RequestRefused as found:
        refused = found
    said = {(refused.http_status, error["extensions"]["code"]) for error in refused.errors}
    assert said == {(403, "FORBIDDEN")}, refused.errors
    return None, {tuple(error["path"]): error["message"] for error in refused.errors}


def without(*scopes: str) -> Caller:
    """A caller with every scope but these."""
    return Caller("tester", SCOPES - set(scopes), None, 2**40)


def test_the_expectation_names_every_type_and_no_other() -> None:
    """A new type or root field has to be decided on here before it can be served."""
    outputs = {
        name
        for name, kind in SCHEMA.type_map.items()
        if (is_object_type(kind) or is_interface_type(kind)) and not name.startswith("__")
    }
    roots = {"Query", "Mutation", "Subscription"}
    assert outputs - roots == set(TYPES)
    fields = {f"{root}.{field}" for root in roots for field in SCHEMA.type_map[root].fields}
    assert fields == {name for name in FIELDS if name.partition(".")[0] in roots}
    for name in FIELDS:
        parent, _, field = name.partition(".")
        assert field in SCHEMA.type_map[parent].fields


def test_every_field_is_reached() -> None:
    """The documents select every field of every type, but for what only node and nodes lead to."""
    reached = {(path[-1].parent, path[-1].field) for path in DOCUMENTS.values()}
    every = {
        (name, field)
        for name in [*TYPES, "Query", "Mutation", "Subscription"]
        for field in SCHEMA.type_map[name].fields
    }
    assert every - reached == {("Node", "id")}
    assert len(DOCUMENTS) > 500


def test_every_document_runs_with_all_scopes(engine: Engine) -> None:
    for query in DOCUMENTS:
        operation, refused = attempt(engine, query, without())
        assert operation is not None, (query, refused)


def test_each_field_needs_its_scopes_and_no_others(engine: Engine) -> None:
    """The matrix field x scope: without a scope that a document's fields demand, it is refused whole, with the path of each
    of those fields; without any other scope it runs."""
    for query, path in DOCUMENTS.items():
        demanded = demands(path)
        for scope in SCOPES:
            lacking = {place for place, scopes in demanded.items() if scope in scopes}
            operation, refused = attempt(engine, query, without(scope))
            assert set(refused) == lacking, (query, scope)
            assert (operation is None) == bool(lacking), (query, scope)
            assert all(scope in message and ".".join(place) in message for place, message in refused.items())


def test_nothing_is_readable_without_any_scope(engine: Engine) -> None:
    """Every way into the graph begins with a field that demands a scope. node and nodes demand those of the ids."""
    nobody = Caller("nobody", frozenset(), None, 2**40)
    for query, path in DOCUMENTS.items():
        if path[-1].field in ("node", "nodes") and path[-1].parent == "Query":
            continue
        operation, refused = attempt(engine, query, nobody)
        assert operation is None, query
        assert set(refused) == set(demands(path))
    operation, _ = attempt(
        engine, '{ __typename __schema { queryType { name } } __type(name: "Query") { name } }', nobody
    )
    assert operation is not None


@pytest.mark.parametrize("id_", NODES)
@pytest.mark.parametrize("query", [
    'query ($id: ID!) { it: node(id: $id) { id } }', 'query ($id: ID!) { it: node(id: $id) { __typename } }',
    'query ($id: ID!) { it: nodes(ids: ["nothing", $id, "other:us:1"]) { id } }',
    'query ($id: ID!) { it: node(id: $id) { ... on Document { externalId } } }',
])  # fmt: skip
def test_a_node_needs_the_scope_of_its_id_s_type(engine: Engine, id_: str, query: str) -> None:
    """Also where nothing of its type is selected: whether it exists is known by its type alone."""
    for scope in SCOPES:
        _, refused = attempt(engine, query, without(scope), id=id_)
        assert set(refused) == ({("it",)} if scope in NODES[id_] else set())
    literally = query.replace("query ($id: ID!)", "").replace("$id", json.dumps(id_))
    assert set(attempt(engine, literally, without(*NODES[id_]))[1]) == {("it",)}


def test_every_kind_of_node_is_tried() -> None:
    assert {id_.partition(":")[0] for id_ in NODES} == set(KINDS)
    members = {kind.name for kind in SCHEMA.get_possible_types(SCHEMA.type_map["Node"])}
    assert {kind.typename for kind in KINDS.values()} == members


@pytest.mark.parametrize(("selection", "path"), [
    ("... on PayrollRun { payslips { net } }", ("node", "payslips")),
    ("... on Node { ... on PayrollRun { payslips { net } } }", ("node", "payslips")),
    ("... on Document { ... on PayrollRun { p: payslips { net } } }", ("node", "p")),
    ("...F", ("node", "payslips")),
    ("... on PayrollRun @include(if: $yes) { payslips @skip(if: $no) { net } }", ("node", "payslips")),
    ("... on PayrollRun { id } ... on PayrollRun { payslips { net } }", ("node", "payslips")),
])  # fmt: skip
def test_no_way_of_writing_it_hides_a_field(engine: Engine, selection: str, path: tuple[str, ...]) -> None:
    """Fragments of any kind, aliases and switches: a field that will be read demands its scope."""
    query = f"""query ($yes: Boolean = true, $no: Boolean = false) {{
        node(id: "payroll-run:us:xero:1") {{ id {selection} }} ledgers {{ code @skip(if: $no) name @include(if: $yes) }} }}"""
    if "F" in selection:
        query += " fragment F on PayrollRun { payslips { net } }"
    _, refused = attempt(engine, query, without("payroll:personal"))
    assert set(refused) == {path, (*path, "net")}


def test_a_field_that_is_switched_off_demands_nothing(engine: Engine) -> None:
    query = "query ($personal: Boolean!) { payrollRuns { nodes { id payslips @include(if: $personal) { net } } } }"
    assert attempt(engine, query, without("payroll:personal"), personal=False)[0] is not None
    assert attempt(engine, query, without("payroll:personal"), personal=True)[0] is None


def test_activating_rules_needs_approval_besides(engine: Engine) -> None:
    """Whether rules are made active only the arguments tell."""
    query = """mutation ($on: Boolean!) { it: saveMapping(input: {ledger: "us", text: "", activate: $on}) { __typename } }"""
    assert attempt(engine, query, without("mappings:approve"), on=False)[0] is not None
    assert set(attempt(engine, query, without("mappings:approve"), on=True)[1]) == {("it",)}
    assert set(attempt(engine, query, without("sources:admin"), on=True)[1]) == {("it",)}
