"""What bank transactions are about: matches that were found or are proposed, open items, and what people decide."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.cash import BankTransaction
from resolvers.context import Context
from resolvers.documents import document_id
from resolvers.fields import (
    argument,
    boolean,
    graph_type,
    input_field,
    integer,
    link,
    linked,
    money,
    nested,
    text,
    timestamp,
    word,
)
from resolvers.invoices import Invoice, InvoiceDirection
from resolvers.ledgers import Ledger
from resolvers.paging import Connection, paged
from resolvers.payments import Payment
from resolvers.payroll import READ as PAYROLL
from resolvers.payroll import PayrollRun
from resolvers.proposals import document_key
from resolvers.results import ChangeRejected, not_found, refused, too_many, unknown_ledger
from resolvers.scalars import BigInt, Date, DateTime, Decimal
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import Reason, RejectionCode
from sources.ledger.queries import ledger_by_id
from sources.matching import actions, queries
from sources.matching.model import ItemKey, Side
from sources.matching.stating import Stated
from sources.mirror.payments import payment_by_id
from sources.mirror.queries import invoice_by_id, payroll_run_by_id
from sources.mirror.transactions import transaction_by_id
from sources.reading import Key, Results, Tagged, Want, checked

READ = ("cash:read", "invoices:read")
APPROVE = ("matches:approve", *READ)
MAX_ALLOCATIONS = 1_000
_TRANSACTION = ("ledger_id", "source", "account", "external_id")
_DOCUMENT = ("ledger_id", "source", "external_id")


@strawberry.enum(description="Where a match stands.")
class MatchStatus(Enum):
    CERTAIN = strawberry.enum_value("CERTAIN", description="Found without doubt, and posted.")
    PROPOSED = strawberry.enum_value("PROPOSED", description="It waits for a person; nothing of it is posted.")
    CONFIRMED = strawberry.enum_value("CONFIRMED", description="A person confirmed or made it; it is posted.")
    REJECTED = strawberry.enum_value("REJECTED", description="A person rejected or undid it; it is not made again.")
    WITHDRAWN = strawberry.enum_value(
        "WITHDRAWN", description="What it was about changed, or something else was found."
    )


@strawberry.enum(description="What a part of a transaction's money is.")
class AllocationKind(Enum):
    INVOICE = strawberry.enum_value("INVOICE", description="It settles an invoice, bill or credit note.")
    PAYMENT = strawberry.enum_value("PAYMENT", description="It is a payout of a payment processor.")
    PAYROLL_RUN = strawberry.enum_value("PAYROLL_RUN", description="It pays a payroll run.")
    BANK_TRANSACTION = strawberry.enum_value(
        "BANK_TRANSACTION", description="It is the other side of a transfer, or came back."
    )
    FEE = strawberry.enum_value("FEE", description="The bank kept it.")
    WRITE_OFF = strawberry.enum_value("WRITE_OFF", description="Nobody pays it any more.")
    ON_ACCOUNT = strawberry.enum_value("ON_ACCOUNT", description="It stays with the party: too much, or in advance.")
    ACCOUNT = strawberry.enum_value("ACCOUNT", description="It goes to an account of the ledger.")


@strawberry.enum(description="What a person taught.")
class MatchingRuleType(Enum):
    PAYER = strawberry.enum_value("PAYER", description="Who pays for a party.")
    ACCOUNT = strawberry.enum_value("ACCOUNT", description="Which ledger account a text means.")
    NEVER = strawberry.enum_value("NEVER", description="What a transaction is not about.")


@graph_type("A clue, and what it counts for.", scope=READ)
class MatchReason:
    code: str = text("For programs; more may come.", "code")
    points: int = integer("Points that it adds to the score, or takes off.", "points")
    message: str = text("A sentence, without names of people.", "message")


@graph_type("A part of a match.", scope=READ)
class MatchAllocation:
    kind: AllocationKind = word("What it is.", "kind")
    document_id: strawberry.ID | None = document_id("Id of the document, for node; null: it is about none.")
    number: str | None = text("The document's number.", "number")
    ledger_account: str | None = text("Code of the ledger account that it goes to.", "ledger_account")
    party: str | None = text("The party's id in its source.", "party")
    amount: Decimal = money("Of the document, in its currency; signed as the money moves.", "amount")
    currency: str = word("The document's currency.", "currency")
    bank_amount: Decimal = money("Of the transaction's money.", "bank_amount", "bank_currency")


@graph_type("What a bank transaction is about, as far as was found.", scope=READ)
class BankMatch:
    match_id: BigInt = integer("Its number within the ledger.", "match_id")
    ledger: Ledger = link("The ledger.", ledger_by_id, ("ledger_id",))
    transaction: BankTransaction | None = link("The transaction; null: it is gone.", transaction_by_id, _TRANSACTION)
    status: MatchStatus = word("Where it stands.", "status")
    score: int = integer("0 to 100: the sum of its reasons' points.", "score")
    reasons: list[MatchReason] = nested("Why, in words.", "reasons")
    allocations: list[MatchAllocation] = nested("Its parts.", "allocations")
    rule_id: BigInt | None = integer("The rule that decided; null: none did.", "rule_id")
    created_at: DateTime = timestamp("When it was found.", "created_at")
    decided_at: DateTime | None = timestamp("When it was decided.", "decided_at")
    decided_by: str | None = text("Who decided.", "decided_by")


@graph_type("A booked bank transaction of which something is not matched.", scope=READ)
class OpenBankTransaction:
    transaction: BankTransaction | None = link("The transaction; null: it is gone.", transaction_by_id, _TRANSACTION)
    dated: Date = word("The day by which it counts.", "dated")
    open: Decimal = money("What of it is not matched; money in is positive.", "open")
    currency: str = word("Its currency.", "currency")
    proposals: list[BankMatch] = link(
        "What it may be about, the best first.", queries.proposals_of, _TRANSACTION, size=2
    )


@graph_type("An invoice or credit note that is open on a day.", scope=READ)
class OpenItem:
    invoice: Invoice | None = link("The document; null: it is gone.", invoice_by_id, _DOCUMENT)
    party: str = text('The party\'s id in its source; "": it has none.', "party_id")
    party_name: str = text("Its name.", "party_name")
    currency: str = word("The currency.", "currency")
    open: Decimal = money("What is open; of a credit note negative.", "open")
    due_on: Date = word("When it is due.", "due_on")
    days_overdue: int = integer("Days since then; negative: it is not due yet.", "overdue")


@graph_type("What is open of one party in one currency, by how long it is overdue.", scope=READ)
class PartyAgeing:
    party: str = text('The party\'s id in its source; "": those without one, together.', "party_id")
    party_name: str = text("Its name.", "party_name")
    currency: str = word("The currency.", "currency")
    documents: int = integer("How many documents are open.", "documents")
    open: Decimal = money("What is open; credit notes count negative.", "open")
    not_due: Decimal = money("Of that, not overdue.", "not_due")
    days_1_to_30: Decimal = money("1 to 30 days overdue.", "days_1_to_30")
    days_31_to_60: Decimal = money("31 to 60 days overdue.", "days_31_to_60")
    days_61_to_90: Decimal = money("61 to 90 days overdue.", "days_61_to_90")
    over_90: Decimal = money("More than 90 days overdue.", "over_90")


@graph_type("A sum in one currency.", scope=READ)
class OpenTotal:
    currency: str = word("The currency.", "currency")
    count: int = integer("How many.", "count")
    amount: Decimal = money("Their sum; money in is positive.", "amount")


@graph_type("A payout that no bank transaction is matched with.", scope=READ)
class OpenPayout:
    payment: Payment | None = link("The payout; null: it is gone.", payment_by_id, _DOCUMENT)
    open: Decimal = money("What has not arrived.", "open")
    currency: str = word("The currency.", "currency")


@graph_type("A payroll run that no bank transaction is matched with.", scope=PAYROLL)
class OpenPayrollRun:
    payroll_run: PayrollRun | None = link("The run; null: it is gone.", payroll_run_by_id, _DOCUMENT)
    open: Decimal = money("What has not been paid: negative, as it goes out.", "open")
    currency: str = word("The currency.", "currency")


@graph_type("An invoice that its source says is paid, by money that nobody has seen.", scope=READ)
class InvoiceWithoutMoney:
    invoice: Invoice | None = link("The invoice; null: it is gone.", invoice_by_id, _DOCUMENT)
    open: Decimal = money("What neither payments nor the bank explain; of a bill negative.", "open")
    currency: str = word("The currency.", "currency")


@graph_type(
    "The bank beside the books, as both are stored now. Lists have their first 1,000, the oldest first; totals are of all."
)
class BankAndBooks:
    ledger: Ledger = link("The ledger.", ledger_by_id, ("ledger_id",))
    bank_only_totals: list[OpenTotal] = nested(
        "Money at the bank that is not explained in the books.", "bank_only_totals", scope=READ
    )
    bank_only: list[OpenBankTransaction] = nested("Its transactions.", "bank_only", scope=READ)
    payout_totals: list[OpenTotal] = nested(
        "Payouts in the books that have not arrived at the bank.", "payouts_totals", scope=READ
    )
    payouts: list[OpenPayout] = nested("They.", "payouts", scope=READ)
    payroll_runs: list[OpenPayrollRun] = nested(
        "Payroll in the books that has not left the bank.", "payroll_runs", scope=PAYROLL
    )
    paid_without_money_totals: list[OpenTotal] = nested(
        "Invoices that their sources say are paid, without a payment or a bank transaction.",
        "paid_without_money_totals",
        scope=READ,
    )
    paid_without_money: list[InvoiceWithoutMoney] = nested("They.", "paid_without_money", scope=READ)


@graph_type("What a person's decision taught, until it is removed.", scope=READ)
class MatchingRule:
    rule_id: BigInt = integer("Its number within the ledger.", "rule_id")
    type: MatchingRuleType = word("What it says.", "type")
    payer_account: str | None = text("PAYER: who pays from this account …", "payer_account")
    payer_name: str | None = text("PAYER: … or by this name …", "payer_name")
    party: str | None = text("PAYER: … is this party, by the words of its name in alphabetical order.", "party")
    pattern: str | None = text("ACCOUNT: what has all of these words …", "pattern")
    money_in: bool | None = boolean("ACCOUNT: … and moves this way …", "money_in")
    ledger_account: str | None = text("ACCOUNT: … goes to this ledger account.", "ledger_account")
    match: BankMatch | None = link(
        "The match that taught it. NEVER: its transaction is not about its documents.",
        queries.match_by_id,
        ("ledger_id", "match_id"),
    )
    created_at: DateTime = timestamp("Since when it holds.", "created_at")
    created_by: str = text("Whose decision it is.", "created_by")
    removed_at: DateTime | None = timestamp("When it was removed; null: it holds.", "removed_at")
    removed_by: str | None = text("Who removed it.", "removed_by")


BankMatchConnection = Connection[BankMatch]
OpenBankTransactionConnection = Connection[OpenBankTransaction]
OpenItemConnection = Connection[OpenItem]
PartyAgeingConnection = Connection[PartyAgeing]
MatchingRuleConnection = Connection[MatchingRule]


# ---------------------------------------------------------------- changes


@strawberry.input(description="Names a match.")
class MatchInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    match: BigInt = strawberry.field(description="Its number.")


@strawberry.enum(description="What a person says that a part of the money is.")
class AllocateTo(Enum):
    DOCUMENT = strawberry.enum_value("DOCUMENT", description="It is about `document`.")
    FEE = strawberry.enum_value("FEE", description="The bank kept it: of the other sign than money that came in.")
    WRITE_OFF = strawberry.enum_value("WRITE_OFF", description="Nobody pays it any more; as a fee.")
    ON_ACCOUNT = strawberry.enum_value(
        "ON_ACCOUNT", description="It stays with `party`, or the party of the first document."
    )
    ACCOUNT = strawberry.enum_value("ACCOUNT", description="It goes to `ledgerAccount`.")


@strawberry.input(description="A part of a transaction's money.")
class AllocationInput:
    to: AllocateTo = strawberry.field(description="What it is.")
    amount: Decimal = strawberry.field(description="Of the transaction's money, in its currency, signed as it.")
    document: strawberry.ID | None = input_field("Id of an invoice, payout, payroll run or other bank transaction.")
    document_amount: Decimal | None = input_field(
        "How much of the document it settles, where that is in another currency."
    )
    ledger_account: str | None = input_field("Code of a ledger account.")
    party: str | None = input_field("The party's id in its source.")
    direction: InvoiceDirection | None = input_field("Whether the party is a customer (RECEIVABLE) or a supplier.")


@strawberry.input(description="What a bank transaction is about.")
class MatchManuallyInput:
    transaction: strawberry.ID = strawberry.field(description="Id of the bank transaction.")
    allocations: list[AllocationInput] = strawberry.field(
        description="Parts that sum to the transaction, or to less: the rest then stays unmatched."
    )
    remember_text: str | None = input_field(
        "Words of the transaction's text: what has all of them goes to the one ledger account of the allocations from now on."
    )


@strawberry.input(description="Names a matching rule.")
class MatchingRuleInput:
    ledger: str = strawberry.field(description="The ledger's code.")
    rule: BigInt = strawberry.field(description="Its number.")


@strawberry.type(description="The match as it is now. What it posts, or takes back, is in the books within moments.")
class MatchSaved:
    match: BankMatch = link("The match.", queries.match_by_id, ("ledger_id", "match_id"))


@strawberry.type(description="The rule is removed: what it decided stands, and what is open is looked at again.")
class MatchingRuleRemoved:
    rule_id: BigInt = integer("Its number.", "rule_id")


MatchResult = Annotated[
    MatchSaved | ChangeRejected, strawberry.union("MatchResult", description="What became of a decision about a match.")
]
MatchingRuleResult = Annotated[
    MatchingRuleRemoved | ChangeRejected,
    strawberry.union("MatchingRuleResult", description="What became of a change to a rule."),
]


async def _decided(context: Context, want: Want, ledger_id: int, deciding: Awaitable[int], path: str) -> Results:
    """Answers with the match that a decision gives; a refusal is data."""
    try:
        match_id = await deciding
    except NotFound as fault:
        return refused([not_found(fault, path)], want)
    except InvalidArgument as fault:
        return refused([Reason(RejectionCode.INVALID_AMOUNT, str(fault), (path,))], want)
    context.services.wake_pipeline()
    values = {"ledger_id": ledger_id, "match_id": match_id}
    return {(): Tagged("MatchSaved", want.types["MatchSaved"].row(values))}


def _decision(decide: Any) -> Any:
    """A resolver over a function (database, ledger_id, match_id, by=…) of `sources.matching.actions`."""

    async def resolve(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
        given = args["input"]
        refs = await context.ledgers([given["ledger"]])
        if not refs:
            return refused([unknown_ledger(given["ledger"])], want)
        ledger_id, match_id = refs[0].ledger_id, given["match"]

        async def deciding() -> int:
            await decide(context.services.database, ledger_id, match_id, by=context.caller.subject)
            return int(match_id)

        return await _decided(context, want, ledger_id, deciding(), "match")

    return resolve


confirm_match = _decision(actions.confirm)
reject_match = _decision(actions.reject)
unmatch = _decision(actions.unmatch)


async def match_manually(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    checked([given.get("rememberText") or ""])
    found = document_key(given["transaction"])
    refs = await context.ledgers([found[0]]) if found and found[1].kind == "bank_transaction" else []
    if found is None or not refs:
        return refused([not_found(f"there is no bank transaction {given['transaction'][:200]!r}", "transaction")], want)
    if len(given["allocations"]) > MAX_ALLOCATIONS:
        return refused([too_many(MAX_ALLOCATIONS, "allocations", "allocations")], want)
    stated, reasons = [], []
    for at, each in enumerate(given["allocations"]):
        key = _subject(each, found[0])
        if key is None:
            message = "state the document, or the ledger account, that the money is about"
            reasons.append(not_found(message, "allocations", str(at)))
        else:
            stated.append(_stated(each, key))
    if reasons:
        return refused(reasons, want)
    line = ItemKey("bank_transaction", found[1].source, found[1].account, found[1].external_id)
    remember, by = given.get("rememberText"), context.caller.subject
    ledger_id = refs[0].ledger_id
    deciding = actions.match(context.services.database, ledger_id, line, stated, by=by, remember=remember)
    return await _decided(context, want, ledger_id, deciding, "allocations")


def _subject(given: Mapping[str, Any], ledger: str) -> ItemKey | None:
    """What money goes to. None: it is not stated, or of another ledger."""
    to = getattr(given["to"], "value", given["to"])
    if to == "DOCUMENT":
        found = document_key(given.get("document") or "")
        if found is None or found[0] != ledger:
            return None
        return ItemKey(found[1].kind, found[1].source, found[1].account, found[1].external_id)
    if to == "ACCOUNT":
        code = given.get("ledgerAccount")
        return ItemKey("account", "", "", checked(code)) if code else None
    return ItemKey(to.lower(), "", "", "")


_SIDES = {"fee": Side.FEES, "write_off": Side.WRITE_OFF, "account": Side.ACCOUNT}


def _stated(given: Mapping[str, Any], key: ItemKey) -> Stated:
    direction = getattr(given.get("direction"), "value", given.get("direction"))
    side = _SIDES.get(key.kind, Side(direction.lower()) if direction else Side.CLEARING)
    party = checked(given.get("party"))
    return Stated(
        key=key, amount=str(given["amount"]), document_amount=given.get("documentAmount"), side=side, party_id=party
    )


async def remove_matching_rule(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given = args["input"]
    refs = await context.ledgers([given["ledger"]])
    if not refs:
        return refused([unknown_ledger(given["ledger"])], want)
    try:
        await actions.remove_rule(
            context.services.database, refs[0].ledger_id, given["rule"], by=context.caller.subject
        )
    except NotFound as fault:
        return refused([not_found(fault, "rule")], want)
    context.services.wake_pipeline()
    return {(): Tagged("MatchingRuleRemoved", want.types["MatchingRuleRemoved"].row({"rule_id": given["rule"]}))}


# ---------------------------------------------------------------- queries


def _on(context: Context, args: Mapping[str, Any]) -> dict[str, Any]:
    """With a day: today, UTC, where none is stated."""
    today: date = datetime.fromtimestamp(context.services.clock(), UTC).date()
    return {**args, "asOf": args.get("asOf") or today}


async def load_open_items(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await queries.open_items(context, keys, want, _on(context, args))


async def load_ageing(context: Context, keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    return await queries.ageing(context, keys, want, _on(context, args))


_LEDGER = Annotated[str, argument("The ledger's code.")]
_DIRECTION = Annotated[InvoiceDirection, argument("What customers owe (RECEIVABLE), or what is owed to suppliers.")]
_AS_OF = Annotated[Date | None, argument("The day; absent: today, UTC.")]


@strawberry.type
class MatchingQuery:
    @paged("Matches of bank transactions, those that wait longest first.", queries.match_proposals, scope=READ)
    def match_proposals(
        self,
        ledger: _LEDGER,
        states: Annotated[list[MatchStatus] | None, argument("In these states; absent: PROPOSED.")] = strawberry.UNSET,
        least_score: Annotated[int | None, argument("With at least this score.")] = strawberry.UNSET,
    ) -> BankMatchConnection | None: ...

    @paged(
        "Booked bank transactions of which something is not matched, the oldest first.",
        queries.unmatched_transactions,
        scope=READ,
    )
    def unmatched_transactions(
        self,
        ledger: _LEDGER,
        from_: Annotated[Date | None, strawberry.argument(name="from", description="First day.")] = strawberry.UNSET,
        to: Annotated[Date | None, argument("Last day.")] = strawberry.UNSET,
    ) -> OpenBankTransactionConnection | None: ...

    @paged(
        "Invoices and credit notes that are open on a day, those due first before the others.",
        load_open_items,
        scope=READ,
    )
    def open_items(
        self,
        ledger: _LEDGER,
        direction: _DIRECTION,
        as_of: _AS_OF = strawberry.UNSET,
        party: Annotated[str | None, argument("Of the party with this id in its source.")] = strawberry.UNSET,
    ) -> OpenItemConnection | None: ...

    @paged("What is open on a day by party and currency, and since when it is overdue.", load_ageing, scope=READ)
    def open_items_by_party(
        self, ledger: _LEDGER, direction: _DIRECTION, as_of: _AS_OF = strawberry.UNSET
    ) -> PartyAgeingConnection | None: ...

    @linked(
        "Money that is at the bank and not explained in the books, and what is in the books and not at the bank.",
        queries.bank_and_books,
        scope=READ,
        size=50,
    )
    def bank_and_books(self, ledger: _LEDGER) -> BankAndBooks | None: ...

    @paged("What people's decisions about matches taught, the oldest first.", queries.matching_rules, scope=READ)
    def matching_rules(
        self,
        ledger: _LEDGER,
        removed: Annotated[bool | None, argument("true: those that were removed too.")] = strawberry.UNSET,
    ) -> MatchingRuleConnection | None: ...


@strawberry.type
class MatchingMutation:
    @linked(
        "Confirms a proposed match: it posts, and teaches who pays for whom.", confirm_match, scope=APPROVE, writes=True
    )
    def confirm_match(self, input: Annotated[MatchInput, argument("The match.")]) -> MatchResult | None: ...

    @linked("Rejects a proposed match: it is not proposed again.", reject_match, scope=APPROVE, writes=True)
    def reject_match(self, input: Annotated[MatchInput, argument("The match.")]) -> MatchResult | None: ...

    @linked(
        "Undoes a match that stands: what was posted of it is reversed, the transaction's own entry stays, and it is not found again.",
        unmatch,
        scope=APPROVE,
        writes=True,
    )
    def unmatch(self, input: Annotated[MatchInput, argument("The match.")]) -> MatchResult | None: ...

    @linked("Says what a bank transaction is about.", match_manually, scope=APPROVE, writes=True)
    def match_manually(
        self, input: Annotated[MatchManuallyInput, argument("The transaction and its parts.")]
    ) -> MatchResult | None: ...

    @linked("Removes what a decision taught.", remove_matching_rule, scope=APPROVE, writes=True)
    def remove_matching_rule(
        self, input: Annotated[MatchingRuleInput, argument("The rule.")]
    ) -> MatchingRuleResult | None: ...
