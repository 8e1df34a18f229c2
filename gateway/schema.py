"""The schema: assembled from the resolvers, printed to schema.graphql."""

from __future__ import annotations

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from resolvers.accounts import AccountMutation, AccountQuery
from resolvers.bank_and_books import BankAndBooksQuery
from resolvers.cash import BankAccount, BankTransaction, CashQuery
from resolvers.entries import EntryQuery, JournalLine
from resolvers.invoices import Invoice, InvoiceQuery
from resolvers.issue_events import IssueSubscription
from resolvers.issues import IssueMutation, IssueQuery
from resolvers.ledgers import LedgerMutation, LedgerQuery
from resolvers.mappings import MappingMutation, MappingQuery
from resolvers.matching import MatchingQuery
from resolvers.matching_changes import MatchingMutation
from resolvers.nodes import NodeQuery
from resolvers.open_items import OpenItemQuery
from resolvers.payments import Payment, PaymentQuery
from resolvers.payroll import PayrollQuery, PayrollRun
from resolvers.posting import PostingMutation
from resolvers.postings import PostingSubscription
from resolvers.previews import PreviewQuery
from resolvers.proposals import ProposalMutation, ProposalQuery
from resolvers.rates import RateMutation
from resolvers.reconciliation import ReconciliationQuery
from resolvers.scalars import SCALARS
from resolvers.sources import SourceQuery
from resolvers.submitting import SubmissionMutation
from resolvers.submitting_files import FileMutation
from resolvers.trial_balance import TrialBalanceQuery


@strawberry.type(description="What can be asked.")
class Query(
    NodeQuery,
    LedgerQuery,
    AccountQuery,
    EntryQuery,
    TrialBalanceQuery,
    InvoiceQuery,
    PaymentQuery,
    PayrollQuery,
    CashQuery,
    SourceQuery,
    IssueQuery,
    MappingQuery,
    PreviewQuery,
    ProposalQuery,
    ReconciliationQuery,
    MatchingQuery,
    OpenItemQuery,
    BankAndBooksQuery,
):
    pass


@strawberry.type(description="What can be changed. Refusals are data; errors are faults.")
class Mutation(
    LedgerMutation,
    AccountMutation,
    PostingMutation,
    IssueMutation,
    MappingMutation,
    RateMutation,
    ProposalMutation,
    SubmissionMutation,
    FileMutation,
    MatchingMutation,
):
    pass


@strawberry.type(description="What can be watched.")
class Subscription(PostingSubscription, IssueSubscription):
    pass


def build() -> strawberry.Schema:
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[JournalLine, Invoice, Payment, PayrollRun, BankAccount, BankTransaction],
        config=StrawberryConfig(scalar_map=dict(SCALARS)),
    )


def core(schema: strawberry.Schema) -> GraphQLSchema:
    """The graphql-core schema that Strawberry made."""
    return schema._schema


def sdl(schema: strawberry.Schema) -> str:
    """The text of schema.graphql."""
    return schema.as_str().rstrip() + "\n"
