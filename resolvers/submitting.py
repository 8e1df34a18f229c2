"""Documents that are submitted: inputs, results and the mutation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final

import strawberry

from resolvers.cash import BankTransactionStatus
from resolvers.context import Context
from resolvers.fields import argument, input_field, linked, nested, text, word
from resolvers.invoices import InvoiceDirection, InvoiceKind, InvoiceStatus
from resolvers.issues import visible_source
from resolvers.payments import PaymentStatus, PaymentType
from resolvers.results import RejectionReason, describe_values, rejected, unknown_ledger
from resolvers.scalars import BigInt, Date, Decimal
from sources.connectors.registry import KINDS
from sources.documents import Deletion
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import Reason, RejectionCode
from sources.mirror.settings import SourceSettings
from sources.mirror.submitting import Outcome, Refused, Submission
from sources.plain_documents import Fault, InvalidDocument, read_document
from sources.reading import Key, Results, Row, Tagged, Want

SUBMIT = ("documents:submit",)
MAX_DOCUMENTS = 1_000

strawberry.enum(Outcome, name="SubmissionOutcome", description="What a submission changed.")
_MEANINGS = {
    "NEW": "It was not held before.",
    "CHANGED": "Another version of it was held.",
    "UNCHANGED": "The same was held already; nothing was changed.",
    "DELETED": "It was held, and is marked as deleted.",
    "STALE": "A newer revision, or what a later file states, is held or comes later in the same request; nothing was changed.",
}
describe_values(Outcome, _MEANINGS)


@strawberry.input(description="The other side of a document.")
class PartyInput:
    name: str = strawberry.field(description="Its name.")
    external_id: str | None = input_field("Its id in your system.")
    tax_id: str | None = input_field("Its tax or VAT number.")


@strawberry.input(description="One line of an invoice.")
class InvoiceLineInput:
    amount: Decimal = strawberry.field(description="Without tax.")
    description: str | None = input_field("What it is for.")
    quantity: str | None = input_field("A decimal.")
    tax: Decimal | None = input_field("Its tax.")
    tax_code: str | None = input_field("Your code of its tax.")
    service_from: Date | None = input_field("First day of what it pays for.")
    service_to: Date | None = input_field("Last day of what it pays for.")
    account: str | None = input_field("Code of the account that you book it to.")
    product: str | None = input_field("Your id or code of what is sold or bought.")


@strawberry.input(description="One tax of an invoice.")
class TaxInput:
    amount: Decimal = strawberry.field(description="The tax.")
    code: str | None = input_field("Your code of it.")
    rate: str | None = input_field('A percentage as a decimal, "19".')
    taxable: Decimal | None = input_field("What it is a tax of.")
    account: str | None = input_field("Code of the account that you book it to.")


@strawberry.input(
    description="An invoice, bill or credit note. Amounts as printed: total = subtotal + tax + rounding; an invoice "
    "whose figures disagree is taken, and becomes an issue."
)
class InvoiceInput:
    external_id: str = strawberry.field(description="Your id of it, the same in every version.")
    direction: InvoiceDirection = strawberry.field(description="Who owes.")
    kind: InvoiceKind | None = input_field("Absent: INVOICE.")
    status: InvoiceStatus = strawberry.field(description="Where it stands.")
    source_status: str | None = input_field("Your own word for the status.")
    party: PartyInput = strawberry.field(description="Customer or vendor.")
    currency: str = strawberry.field(description="ISO 4217.")
    total: Decimal = strawberry.field(description="With tax.")
    subtotal: Decimal | None = input_field("Without tax. Absent: total - tax - rounding.")
    tax: Decimal | None = input_field("Absent: none.")
    rounding: Decimal | None = input_field("Absent: none.")
    amount_due: Decimal | None = input_field("Absent: its total while it is open, 0 when it is paid.")
    prepaid: Decimal | None = input_field("What was paid before it was issued.")
    number: str | None = input_field("As printed.")
    issue_date: Date | None = input_field("Its date.")
    due_date: Date | None = input_field("When it is to be paid.")
    taxes: list[TaxInput] | None = input_field("By rate or code.")
    lines: list[InvoiceLineInput] | None = input_field("Its lines.")


@strawberry.input(description="A movement at a payment processor; amounts are signed, money in is positive.")
class PaymentInput:
    external_id: str = strawberry.field(description="Your id of it.")
    type: PaymentType = strawberry.field(description="What kind of movement.")
    status: PaymentStatus = strawberry.field(description="Whether the money has moved.")
    source_status: str | None = input_field("Your own word for the status.")
    currency: str = strawberry.field(description="ISO 4217, of the account at the processor.")
    amount: Decimal = strawberry.field(description="Before the fee.")
    fee: Decimal | None = input_field("What the processor keeps.")
    net: Decimal | None = input_field("amount - fee.")
    presented_amount: Decimal | None = input_field("What the payer paid, in presentedCurrency.")
    presented_currency: str | None = input_field("Where it is another one.")
    occurred_on: Date = strawberry.field(description="When it changed the balance.")
    available_on: Date | None = input_field("From when on it can be paid out; of a payout: when it arrives.")
    party: PartyInput | None = input_field("The payer.")
    invoice_external_id: str | None = input_field("The invoice that it pays.")
    payout_external_id: str | None = input_field("The payout that pays it out.")
    parent_external_id: str | None = input_field("The payment that a refund or dispute is about.")
    description: str | None = input_field("What it is for.")
    reference: str | None = input_field("The payer's or your reference.")
    bank_account: str | None = input_field("Of a payout: where it goes.")
    paid_out: list[str] | None = input_field("Of a payout: external ids of what it pays out.")


@strawberry.input(description="One person's part of a payroll run: net = gross - taxes - deductions + reimbursements.")
class PayslipInput:
    external_id: str = strawberry.field(description="Your id of it.")
    employee_id: str = strawberry.field(description="Your id of the person.")
    employee_name: str = strawberry.field(description="Seen by nobody without payroll:personal.")
    net: Decimal = strawberry.field(description="What is paid.")
    gross: Decimal | None = input_field("Before taxes and deductions.")
    department: str | None = input_field("Where the person works.")
    employee_taxes: Decimal | None = input_field("Withheld.")
    deductions: Decimal | None = input_field("Withheld beside taxes.")
    reimbursements: Decimal | None = input_field("Paid beside wages.")
    employer_taxes: Decimal | None = input_field("On top of gross.")
    employer_contributions: Decimal | None = input_field("On top of gross.")


@strawberry.input(description="A payroll run: net = gross - employeeTaxes - deductions + reimbursements.")
class PayrollRunInput:
    external_id: str = strawberry.field(description="Your id of it.")
    period_start: Date = strawberry.field(description="First day that it pays for.")
    period_end: Date = strawberry.field(description="Last day that it pays for.")
    pay_date: Date = strawberry.field(description="When it is paid.")
    source_status: str = strawberry.field(description="Draft, Approved, Posted, Paid or Void; or your rules' own word.")
    currency: str = strawberry.field(description="ISO 4217.")
    net: Decimal = strawberry.field(description="What is paid.")
    gross: Decimal | None = input_field("Before taxes and deductions.")
    employee_taxes: Decimal | None = input_field("Withheld.")
    deductions: Decimal | None = input_field("Withheld beside taxes.")
    reimbursements: Decimal | None = input_field("Paid beside wages.")
    employer_taxes: Decimal | None = input_field("On top of gross.")
    employer_contributions: Decimal | None = input_field("On top of gross.")
    total_cost: Decimal | None = input_field("gross + employerTaxes + employerContributions.")
    payslips: list[PayslipInput] | None = input_field("Absent: not known.")


@strawberry.input(description="A bank account.")
class BankAccountInput:
    external_id: str = strawberry.field(description="Its IBAN, else the bank's own number.")
    currency: str = strawberry.field(description="ISO 4217.")
    name: str | None = input_field("Its name.")
    iban: str | None = input_field("Its IBAN.")


@strawberry.input(description="One movement of a bank account.")
class BankTransactionInput:
    external_id: str = strawberry.field(description="Your id of it, unique within the account.")
    amount: Decimal = strawberry.field(description="Signed: money in is positive.")
    currency: str | None = input_field("Absent: the account's.")
    status: BankTransactionStatus | None = input_field("Absent: BOOKED.")
    booked_on: Date | None = input_field("When the bank booked it.")
    value_date: Date | None = input_field("From when on it bears interest.")
    description: str | None = input_field("What it is for.")
    counterparty: str | None = input_field("The other side.")
    reference: str | None = input_field("Its reference.")


@strawberry.input(description="A statement of one bank account.")
class BankStatementInput:
    external_id: str = strawberry.field(description="Your id of it.")
    account: BankAccountInput = strawberry.field(description="The account.")
    transactions: list[BankTransactionInput] = strawberry.field(description="Its movements, at most 10,000.")
    provisional: bool | None = input_field("Whether a later statement will say it again; absent: no.")
    from_date: Date | None = input_field("First day that it covers.")
    to_date: Date | None = input_field("Last day that it covers.")
    opening: Decimal | None = input_field("Balance before.")
    closing: Decimal | None = input_field("Balance after.")
    closing_available: Decimal | None = input_field("What can be disposed of.")


@strawberry.enum(description="The kinds of document that can be submitted.")
class SubmittedKind(Enum):
    INVOICE = strawberry.enum_value("INVOICE", description="An invoice, bill or credit note.")
    PAYMENT = strawberry.enum_value("PAYMENT", description="A movement at a payment processor.")
    PAYROLL_RUN = strawberry.enum_value("PAYROLL_RUN", description="A payroll run.")
    BANK_STATEMENT = strawberry.enum_value("BANK_STATEMENT", description="A statement of a bank account.")


@strawberry.input(description="A document that you have no more.")
class DeletionInput:
    kind: SubmittedKind = strawberry.field(description="What it was.")
    external_id: str = strawberry.field(description="Your id of it.")


@strawberry.input(description="Exactly one of invoice, payment, payrollRun, bankStatement and deletion.")
class DocumentInput:
    invoice: InvoiceInput | None = input_field("An invoice.")
    payment: PaymentInput | None = input_field("A movement at a payment processor.")
    payroll_run: PayrollRunInput | None = input_field("A payroll run.")
    bank_statement: BankStatementInput | None = input_field("A bank statement.")
    deletion: DeletionInput | None = input_field("One that you have no more.")
    revision: BigInt | None = input_field(
        "Your own number of this version, which grows: a submission with a lower one than is held changes nothing."
    )


@strawberry.input(description="Documents to submit.")
class SubmitDocumentsInput:
    source: str = strawberry.field(description='Name of a source of kind "submitted".')
    documents: list[DocumentInput] = strawberry.field(description="At most 1,000.")


@strawberry.type(description="The document is held.")
class DocumentTaken:
    kind: SubmittedKind = word("What it is.", "kind")
    external_id: str = text("Your id of it.", "external_id")
    outcome: Outcome = word("What the submission changed.", "outcome")


@strawberry.type(description="The document was not taken; the others of the request were.")
class DocumentRejected:
    reasons: list[RejectionReason] = nested("Every reason.", "reasons")


SubmitDocumentResult = Annotated[
    DocumentTaken | DocumentRejected,
    strawberry.union("SubmitDocumentResult", description="What became of a document."),
]


@strawberry.type(description="What became of each document, in the input's order.")
class SubmitDocumentsPayload:
    results: list[SubmitDocumentResult] = nested("One for each document.", "results")


_KINDS: Final = {
    "invoice": "invoice",
    "payment": "payment",
    "payrollRun": "payroll_run",
    "bankStatement": "bank_statement",
}


async def submit_documents(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]["documents"]
    if len(given) > MAX_DOCUMENTS:
        raise InvalidArgument(f"documents takes at most {MAX_DOCUMENTS}; submit the others in another request")
    results = await _submit(context, args["input"]["source"], given)
    inner = want.nested.get("results")
    return {(): want.row({"results": [_row(each, inner) for each in results] if inner else []})}


_Result = tuple[Submission, Outcome] | Sequence[Reason]


async def _submit(context: Context, name: str, given: Sequence[Mapping[str, Any]]) -> list[_Result]:
    try:
        settings = visible_source(context, name)
    except NotFound as fault:
        return [[Reason(RejectionCode.NOT_FOUND, str(fault), ("source",))] for _ in given]
    if not KINDS[settings.kind].takes_submissions:
        message = f"{name} is read by the gateway itself: submit to a source of kind submitted"
        return [[Reason(RejectionCode.NOT_FOUND, message, ("source",))] for _ in given]
    read = [_read(context, settings, number, each) for number, each in enumerate(given)]
    taken = [each for each in read if isinstance(each, Submission)]
    groups = [[each] for each in taken]
    outcomes = await context.services.refresher.submit(name, groups, context.caller.subject) if taken else []
    context.services.wake_pipeline()
    became = iter(outcome for (outcome,) in outcomes)
    results: list[_Result] = []
    for number, each in enumerate(read):
        if not isinstance(each, Submission):
            results.append(each)
            continue
        outcome = next(became)
        if isinstance(outcome, Refused):
            message = f"it cannot be kept: {outcome.reason}"
            results.append([Reason(RejectionCode.INVALID_VALUE, message, ("documents", str(number)))])
        else:
            results.append((each, outcome))
    return results


def _read(
    context: Context, settings: SourceSettings, number: int, given: Mapping[str, Any]
) -> Submission | Sequence[Reason]:
    path = ("documents", str(number))
    chosen = [name for name in (*_KINDS, "deletion") if given.get(name) is not None]
    if len(chosen) != 1:
        message = f"state exactly one of {', '.join(_KINDS)} and deletion, not {len(chosen)}"
        return [Reason(RejectionCode.INVALID_VALUE, message, path)]
    values, revision = given[chosen[0]], given.get("revision")
    if chosen[0] == "deletion":
        kind = str(getattr(values["kind"], "value", values["kind"])).lower()
        # A statement may lie in any ledger of the source, and only its account, which is not stated here, tells in which.
        codes = sorted(settings.ledgers) if kind == "bank_statement" else [settings.home]
        if not all(map(context.caller.may_see, codes)):
            message = "your token does not see every ledger in which this document may lie"
            return [Reason(RejectionCode.UNKNOWN_LEDGER, message, (*path, "deletion"))]
        return Submission(Deletion(kind=kind, external_id=values["externalId"]), revision)
    try:
        document = read_document(_KINDS[chosen[0]], _snake(values))
    except InvalidDocument as invalid:
        return [_reason(fault, (*path, chosen[0])) for fault in invalid.faults]
    if not context.caller.may_see(settings.ledger_of(document)):
        return [unknown_ledger(settings.ledger_of(document), *path)]
    return Submission(document, revision)


def _row(result: _Result, want: Want) -> Tagged:
    if not isinstance(result, tuple):
        return rejected("DocumentRejected", result, want)
    submission, outcome = result
    return Tagged("DocumentTaken", taken_row(submission, outcome, want.types["DocumentTaken"]))


def taken_row(submission: Submission, outcome: Outcome, want: Want) -> Row:
    """The row of a DocumentTaken."""
    kind, external_id = submission.key
    return want.row({"kind": kind.upper(), "external_id": external_id, "outcome": outcome.value})


def _reason(fault: Fault, path: tuple[str, ...]) -> Reason:
    return Reason(RejectionCode[fault.code], fault.message, (*path, *(_camel(part) for part in fault.path)))


_UPPER = re.compile("[A-Z]")


def _snake(value: Any) -> Any:
    """Names of inputs as documents name them, all the way down."""
    if isinstance(value, Mapping):
        return {
            _UPPER.sub(lambda found: "_" + found[0].lower(), name): _snake(each)
            for name, each in value.items()
            if each is not None
        }
    return [_snake(each) for each in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@strawberry.type
class SubmissionMutation:
    @linked(
        "Stores documents of a system that the gateway does not read itself; they become entries as those of every other "
        "source. The same document again changes nothing.",
        submit_documents,
        scope=SUBMIT,
        writes=True,
    )
    def submit_documents(
        self, input: Annotated[SubmitDocumentsInput, argument("The documents.")]
    ) -> SubmitDocumentsPayload | None: ...
