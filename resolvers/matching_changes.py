"""What people decide about matches: see `sources.matching.actions`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import argument, input_field, integer, link, linked
from resolvers.invoices import InvoiceDirection
from resolvers.matching import READ, BankMatch
from resolvers.proposals import document_key
from resolvers.results import ChangeRejected, not_found, refused, too_many, unknown_ledger
from resolvers.scalars import BigInt, Decimal
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import Reason, RejectionCode
from sources.matching import actions, queries
from sources.matching.ledger_accounts import AccountsRefused
from sources.matching.model import ItemKey, Side
from sources.matching.stating import Stated
from sources.reading import Key, Results, Tagged, Want, checked

APPROVE = ("matches:approve", *READ)
MAX_ALLOCATIONS = 1_000


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
    amount: Decimal | None = input_field(
        "Of the transaction's money, in its currency, signed as it; absent, of one allocation: what the others leave."
    )
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
    complete: bool | None = input_field(
        "true: they are added to the match of the transaction that stands and leaves a rest; the whole takes its place."
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
    except AccountsRefused as fault:
        return refused(fault.reasons, want)
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
    completes = bool(given.get("complete"))
    deciding = actions.match(
        context.services.database, ledger_id, line, stated, by=by, remember=remember, completes=completes
    )
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
    amount = given.get("amount")
    return Stated(
        key=key,
        amount=None if amount is None else str(amount),
        document_amount=given.get("documentAmount"),
        side=side,
        party_id=party,
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
