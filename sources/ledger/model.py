"""The words of the ledger as values: drafts that callers state, outcomes that they get back. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum


class AccountType(StrEnum):
    ASSET = "ASSET"
    LIABILITY = "LIABILITY"
    EQUITY = "EQUITY"
    REVENUE = "REVENUE"
    EXPENSE = "EXPENSE"


class Side(StrEnum):
    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


class RejectionCode(StrEnum):
    UNKNOWN_LEDGER = "UNKNOWN_LEDGER"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    INACTIVE_ACCOUNT = "INACTIVE_ACCOUNT"
    TOO_FEW_LINES = "TOO_FEW_LINES"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    INVALID_LINE = "INVALID_LINE"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
    FUNCTIONAL_AMOUNT_REQUIRED = "FUNCTIONAL_AMOUNT_REQUIRED"
    UNBALANCED = "UNBALANCED"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    UNKNOWN_CURRENCY = "UNKNOWN_CURRENCY"
    PERIOD_LOCKED = "PERIOD_LOCKED"
    INVALID_DATE = "INVALID_DATE"
    INVALID_KEY = "INVALID_KEY"
    INVALID_TEXT = "INVALID_TEXT"
    INVALID_DIMENSION = "INVALID_DIMENSION"
    UNKNOWN_ENTRY = "UNKNOWN_ENTRY"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    INVALID_REVERSAL = "INVALID_REVERSAL"
    DUPLICATE_CODE = "DUPLICATE_CODE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    BATCH_REJECTED = "BATCH_REJECTED"
    INVALID_PARENT = "INVALID_PARENT"
    NOT_FOUND = "NOT_FOUND"
    INVALID_RATE = "INVALID_RATE"
    FIXED_BY_SETTINGS = "FIXED_BY_SETTINGS"
    MISSING = "MISSING"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    INVALID_VALUE = "INVALID_VALUE"


@dataclass(frozen=True, slots=True)
class LedgerRef:
    """A ledger's identity: nothing of it ever changes, so it may be cached for ever."""

    ledger_id: int
    code: str
    functional_currency: str


@dataclass(slots=True, kw_only=True)
class LineDraft:
    """One line as stated. Amounts are decimal strings in `currency` (None: the functional currency), not yet checked.
    Nobody changes a draft; freezing it would double what making one costs, and a batch makes thousands."""

    account: str
    debit: str | None = None
    credit: str | None = None
    currency: str | None = None
    functional_amount: str | None = None
    description: str | None = None
    tax_code: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class EntryDraft:
    """An entry as stated, not yet checked. `origin` is "" for clients, or the name of the source it came from."""

    ledger: LedgerRef
    idempotency_key: str
    effective_date: date
    description: str
    lines: tuple[LineDraft, ...]
    posted_by: str
    document_date: date | None = None
    journal: str | None = None
    reference: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalDraft:
    """The exact mirror of entry `sequence`; `description` None: "Reversal of entry N"."""

    ledger: LedgerRef
    idempotency_key: str
    sequence: int
    effective_date: date
    posted_by: str
    description: str | None = None
    origin: str = ""


Draft = EntryDraft | ReversalDraft


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused. `path` points into the input: ("lines", "2", "account")."""

    code: RejectionCode
    message: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posted:
    ledger: LedgerRef
    sequence: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key was used before with another body, by entry `sequence`."""

    ledger: LedgerRef
    idempotency_key: str
    sequence: int


Outcome = Posted | Rejected | Conflict


class Unset(Enum):
    """The one value `UNSET`: a field that a change leaves as it is, where None would mean something."""

    UNSET = "UNSET"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDraft:
    """An account as stated, not yet checked. `normal_side` None: by its type; `currency` None: any;
    `parent` is a code, of an account that exists or of the same input."""

    code: str
    name: str
    type: AccountType
    normal_side: Side | None = None
    currency: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class AccountsSaved:
    """The codes are the input's, in its order."""

    ledger: LedgerRef
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeRejected:
    """A change to a ledger or its chart was refused; nothing was changed."""

    reasons: tuple[Reason, ...]
