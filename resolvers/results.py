"""Refusals as data: the types that results of mutations share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import strawberry

from resolvers.fields import nested, text, word, written
from sources.ledger.model import Reason, RejectionCode
from sources.reading import Results, Tagged, Want

_MEANINGS = {
    "UNKNOWN_LEDGER": "There is no such ledger, or the caller may not see it.",
    "UNKNOWN_ACCOUNT": "The chart has no account of this code.",
    "INACTIVE_ACCOUNT": "The account takes no new entries.",
    "TOO_FEW_LINES": "An entry has at least two lines.",
    "TOO_MANY_LINES": "An entry has at most 10,000 lines.",
    "INVALID_LINE": "A line states exactly one of debit and credit.",
    "INVALID_AMOUNT": "Not exactly representable in its currency, negative, or contradicting.",
    "AMOUNT_OUT_OF_RANGE": "Beyond 10^15 minor units, or a balance would overflow.",
    "FUNCTIONAL_AMOUNT_REQUIRED": "A foreign-currency line needs its amount in functional currency.",
    "UNBALANCED": "Debits and credits differ.",
    "CURRENCY_MISMATCH": "The account takes another currency only.",
    "UNKNOWN_CURRENCY": "Not an ISO 4217 currency.",
    "PERIOD_LOCKED": "The effective date lies in a locked period.",
    "INVALID_DATE": "The date is outside what a ledger takes.",
    "INVALID_KEY": "The idempotency key is empty, too long or holds NUL.",
    "INVALID_TEXT": "A text is blank, too long or holds control characters.",
    "INVALID_DIMENSION": "A dimension's name is malformed, doubled or one too many.",
    "UNKNOWN_ENTRY": "The ledger has no entry of this sequence.",
    "ALREADY_REVERSED": "The entry has a reversal.",
    "INVALID_REVERSAL": "A reversal is never dated before the original.",
    "DUPLICATE_CODE": "The code exists with another content, or twice in the input.",
    "LIMIT_EXCEEDED": "More items than one request takes.",
    "BATCH_REJECTED": "Another entry of the atomic batch was refused.",
    "NOT_FOUND": "What it names does not exist (any more), or the caller may not see it.",
    "INVALID_RATE": "The rate is none, or is stated twice.",
    "FIXED_BY_SETTINGS": "The settings of the gateway say it; it is changed there.",
    "MISSING": "A field that has to be stated is not.",
    "UNKNOWN_FIELD": "A field that the document does not have.",
    "INVALID_VALUE": "A value that the field cannot take.",
    "INVALID_PARENT": "The parent does not exist, or the account would be part of itself.",
}


def describe_values(enum: Any, meanings: Mapping[str, str]) -> None:
    """Gives the values of an enum, which the domain defines, their descriptions in the graph."""
    for value in enum.__strawberry_definition__.values:
        value.description = meanings[value.name]


strawberry.enum(RejectionCode, description="Why something was refused; more may come: keep a default branch.")
describe_values(RejectionCode, _MEANINGS)


@strawberry.type(
    description='code is for programs, message says what to do, path points into the input: ["lines", "2", "account"].'
)
class RejectionReason:
    code: RejectionCode = word("For programs.", "code")
    message: str = text("What was wrong and what to do.", "message")
    path: list[str] = written("Where in the input.", ("path",), "dumps({0})")


@strawberry.type(description="Nothing was changed; all reasons at once.")
class ChangeRejected:
    reasons: list[RejectionReason] = nested("Every reason.", "reasons")


def unknown_ledger(code: str, *path: str) -> Reason:
    """A ledger that does not exist, or that the caller may not see: the two are not told apart."""
    message = f"there is no ledger {code[:63]!r} that your token can see"
    return Reason(RejectionCode.UNKNOWN_LEDGER, message, path or ("ledger",))


def rejected(typename: str, reasons: Sequence[Reason], want: Want, **values: Any) -> Tagged:
    """The row of a type whose fields are `reasons` and these values."""
    mine = want.types[typename]
    inner = mine.nested.get("reasons", Want())
    rows = [inner.row({"code": why.code.value, "message": why.message, "path": list(why.path)}) for why in reasons]
    return Tagged(typename, mine.row({"reasons": rows, **values}))


def refused(reasons: Sequence[Reason], want: Want) -> Results:
    """The result of a mutation that changed nothing."""
    return {(): rejected("ChangeRejected", reasons, want)}


def not_found(fault: object, *path: str) -> Reason:
    """What a change names is not there: the fault says what."""
    return Reason(RejectionCode.NOT_FOUND, str(fault), path)


def too_many(most: int, what: str, path: str) -> Reason:
    """More items than a request takes."""
    return Reason(RejectionCode.LIMIT_EXCEEDED, f"at most {most:,} {what} at once; send the others after them", (path,))
