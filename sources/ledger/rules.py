"""What a draft has to satisfy before the database sees it: ordered small rules, which return all faults at once.

`check` resolves as it goes: a draft that passes comes back as a `CheckedEntry` in minor units. The database decides what
needs the books (keys, accounts, locked periods, originals of reversals); `sources.ledger.reasons` words those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sources.ledger import canonical
from sources.ledger.canonical import CanonicalLine
from sources.ledger.model import Draft, EntryDraft, LineDraft, Reason, RejectionCode, ReversalDraft
from sources.ledger.texts import MAX_CODE, MAX_DESCRIPTION, is_sendable, text_faults
from sources.money import EXPONENTS, MAX_MINOR, format_minor, parse_minor

MIN_LINES: Final = 2
MAX_LINES: Final = 10_000
MAX_DIMENSIONS: Final = 16
FIRST_DATE: Final = date(1900, 1, 1)
LAST_DATE: Final = date(2199, 12, 31)

_DIMENSION_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


@dataclass(slots=True)
class CheckedEntry:
    """A draft with everything resolved. `lines` is empty for a reversal, whose lines the database mirrors; `total` is the
    sum of functional debits in minor units."""

    draft: Draft
    description: str
    lines: Sequence[CanonicalLine]
    total: int
    body_hash: bytes


def check(draft: Draft) -> tuple[CheckedEntry | None, tuple[Reason, ...]]:
    """The resolved entry, or None with every reason that the draft itself gives."""
    if isinstance(draft, ReversalDraft):
        return _check_reversal(draft)
    reasons = [reason for rule in ENTRY_RULES for reason in rule(draft)]
    lines = _check_lines(draft, reasons) if len(draft.lines) <= MAX_LINES else []
    if reasons:
        return None, tuple(reasons)
    total = sum(line.functional_amount for line in lines if line.functional_amount > 0)
    body_hash = canonical.body_hash(_entry_body(draft, lines))
    return CheckedEntry(draft, draft.description, lines, total, body_hash), ()


def body_hash_of_refused(draft: Draft) -> bytes | None:
    """The body hash of a draft that the rules refused, where it has a body at all: a key that was used for just this body,
    when the rules still took it, is a replay for ever."""
    try:
        if isinstance(draft, ReversalDraft):
            return canonical.body_hash(_reversal_body(draft))
        if len(draft.lines) > MAX_LINES:
            return None
        if any(len(dict(line.dimensions)) < len(line.dimensions) for line in draft.lines):
            return None
        faults: list[Reason] = []
        lines = [resolve_line(draft, number, line, faults) for number, line in enumerate(draft.lines)]
        resolved = [line for line in lines if line is not None]
        return canonical.body_hash(_entry_body(draft, resolved)) if len(resolved) == len(lines) else None
    except ValueError:
        return None


def _check_reversal(draft: ReversalDraft) -> tuple[CheckedEntry | None, tuple[Reason, ...]]:
    reasons = [*key_rule(draft), *dates_rule(draft)]
    if draft.description is not None:
        reasons += text_faults(draft.description, ("description",), MAX_DESCRIPTION, required=True)
    if not 0 < draft.sequence < 2**63:
        message = f"there is no entry {draft.sequence}; sequences begin with 1"
        reasons.append(Reason(RejectionCode.UNKNOWN_ENTRY, message, ("sequence",)))
    if reasons:
        return None, tuple(reasons)
    body_hash = canonical.body_hash(_reversal_body(draft))
    return CheckedEntry(draft, reversal_description(draft), (), 0, body_hash), ()


def reversal_description(draft: ReversalDraft) -> str:
    """What is stored: the draft's own words, or "Reversal of entry N"."""
    return f"Reversal of entry {draft.sequence}" if draft.description is None else draft.description


# ---------------------------------------------------------------- rules of the entry


def key_rule(draft: Draft) -> Iterable[Reason]:
    key = draft.idempotency_key
    if not 1 <= len(key) <= MAX_CODE or not is_sendable(key):
        message = f"idempotencyKey needs 1 to {MAX_CODE} characters, without NUL and lone surrogates"
        yield Reason(RejectionCode.INVALID_KEY, message, ("idempotencyKey",))


def dates_rule(draft: Draft) -> Iterable[Reason]:
    dates = [("effectiveDate", draft.effective_date)]
    if isinstance(draft, EntryDraft) and draft.document_date is not None:
        dates.append(("documentDate", draft.document_date))
    for name, day in dates:
        if not FIRST_DATE <= day <= LAST_DATE:
            message = f"{name} {day} is outside {FIRST_DATE} to {LAST_DATE}"
            yield Reason(RejectionCode.INVALID_DATE, message, (name,))


def texts_rule(draft: EntryDraft) -> Iterable[Reason]:
    yield from text_faults(draft.description, ("description",), MAX_DESCRIPTION, required=True)
    if draft.journal is not None:
        yield from text_faults(draft.journal, ("journal",), MAX_CODE)
    if draft.reference is not None:
        yield from text_faults(draft.reference, ("reference",), MAX_CODE)


def line_count_rule(draft: EntryDraft) -> Iterable[Reason]:
    count = len(draft.lines)
    if count < MIN_LINES:
        message = f"an entry needs at least {MIN_LINES} lines; this one has {count}"
        yield Reason(RejectionCode.TOO_FEW_LINES, message, ("lines",))
    if count > MAX_LINES:
        message = f"an entry takes at most {MAX_LINES:,} lines; this one has {count:,}: split it"
        yield Reason(RejectionCode.TOO_MANY_LINES, message, ("lines",))


ENTRY_RULES: tuple[Callable[[EntryDraft], Iterable[Reason]], ...] = (
    key_rule,
    dates_rule,
    texts_rule,
    line_count_rule,
)


# ---------------------------------------------------------------- rules of a line


def account_rule(line: LineDraft, path: tuple[str, ...]) -> Iterable[Reason]:
    return text_faults(line.account, (*path, "account"), MAX_CODE, required=True)


def line_texts_rule(line: LineDraft, path: tuple[str, ...]) -> Iterable[Reason]:
    faults: list[Reason] = []
    if line.description is not None:
        faults += text_faults(line.description, (*path, "description"), MAX_DESCRIPTION)
    if line.tax_code is not None:
        faults += text_faults(line.tax_code, (*path, "taxCode"), MAX_CODE)
    return faults


def dimensions_rule(line: LineDraft, path: tuple[str, ...]) -> Iterable[Reason]:
    if not line.dimensions:
        return ()
    here = (*path, "dimensions")
    if len(line.dimensions) > MAX_DIMENSIONS:
        message = f"a line takes at most {MAX_DIMENSIONS} dimensions; this one has {len(line.dimensions)}"
        return [Reason(RejectionCode.INVALID_DIMENSION, message, here)]
    faults: list[Reason] = []
    seen: set[str] = set()
    for index, (name, value) in enumerate(line.dimensions):
        if not _DIMENSION_NAME.fullmatch(name):
            message = "a dimension's name begins with a-z and goes on with a-z, 0-9 and _, at most 63 characters"
            faults.append(Reason(RejectionCode.INVALID_DIMENSION, message, (*here, str(index), "name")))
        elif name in seen:
            message = f"the dimension {name} is there twice; state it once"
            faults.append(Reason(RejectionCode.INVALID_DIMENSION, message, (*here, str(index), "name")))
        seen.add(name)
        faults += text_faults(value, (*here, str(index), "value"), MAX_CODE)
    return faults


LINE_RULES: tuple[Callable[[LineDraft, tuple[str, ...]], Iterable[Reason]], ...] = (
    account_rule,
    line_texts_rule,
    dimensions_rule,
)


def is_plain(line: LineDraft) -> bool:
    """Whether the line's texts are so simple that no rule of a line has anything to say of them, as most are."""
    account = line.account
    if line.description is not None or line.tax_code is not None or not account.isprintable():
        return False
    if not account.strip() or len(account) > MAX_CODE or len(line.dimensions) > 1:
        return False
    for name, value in line.dimensions:
        if len(value) > MAX_CODE or not value.isprintable() or not _DIMENSION_NAME.fullmatch(name):
            return False
    return True


def resolve_line(draft: EntryDraft, index: int, line: LineDraft, reasons: list[Reason]) -> CanonicalLine | None:
    """The line in minor units; None when its amounts cannot be read, with the reasons appended."""
    path = ("lines", str(index))
    functional = draft.ledger.functional_currency
    currency = functional if line.currency is None else line.currency
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        message = f"{currency[:20]!r} is not an ISO 4217 currency; write its code of three capitals"
        reasons.append(Reason(RejectionCode.UNKNOWN_CURRENCY, message, (*path, "currency")))
    if (line.debit is None) == (line.credit is None):
        reasons.append(Reason(RejectionCode.INVALID_LINE, "a line takes exactly one of debit and credit", path))
        return None
    field, sign, stated = ("credit", -1, line.credit) if line.debit is None else ("debit", 1, line.debit)
    amount = None if exponent is None or stated is None else _minor(stated, currency, path, field, reasons)
    if line.functional_amount is None and currency == functional:
        functional_amount = amount
    else:
        functional_amount = _functional(line, currency, functional, amount, path, reasons)
    if amount is None or functional_amount is None:
        return None
    if amount == 0 and functional_amount == 0:
        message = "the amount and the functional amount are both zero; leave the line out"
        reasons.append(Reason(RejectionCode.INVALID_AMOUNT, message, (*path, field)))
    return CanonicalLine(
        account=line.account,
        currency=currency,
        amount=sign * amount,
        functional_amount=sign * functional_amount,
        description=line.description,
        tax_code=line.tax_code,
        dimensions=dict(line.dimensions),
    )


def _functional(
    line: LineDraft, currency: str, functional: str, amount: int | None, path: tuple[str, ...], reasons: list[Reason]
) -> int | None:
    field = "functionalAmount"
    if line.functional_amount is None:
        if currency not in EXPONENTS:
            return amount
        message = f"the line is not in {functional}: state its amount in {functional} too"
        reasons.append(Reason(RejectionCode.FUNCTIONAL_AMOUNT_REQUIRED, message, (*path, field)))
        return None
    value = _minor(line.functional_amount, functional, path, field, reasons)
    if currency == functional and None not in (amount, value) and value != amount:
        message = f"the line is in {functional}, so its functional amount is the same amount; leave it out"
        reasons.append(Reason(RejectionCode.INVALID_AMOUNT, message, (*path, field)))
    return value


def _minor(text: str, currency: str, path: tuple[str, ...], field: str, reasons: list[Reason]) -> int | None:
    """Minor units of a stated amount; None when it is refused."""
    exponent = EXPONENTS[currency]
    try:
        value = parse_minor(text, exponent)
    except ValueError as fault:
        message = f"{field} {fault}; {currency} has {exponent} decimals"
        reasons.append(Reason(RejectionCode.INVALID_AMOUNT, message, (*path, field)))
        return None
    if 0 <= value <= MAX_MINOR:
        return value
    if value < 0:
        message = f"{field} is negative; post the amount on the other side"
        reasons.append(Reason(RejectionCode.INVALID_AMOUNT, message, (*path, field)))
    else:
        message = f"{field} is larger than {format_minor(MAX_MINOR, exponent)} {currency}; split it"
        reasons.append(Reason(RejectionCode.AMOUNT_OUT_OF_RANGE, message, (*path, field)))
    return None


# ---------------------------------------------------------------- rules over all lines


def functional_balance_rule(draft: EntryDraft, lines: Sequence[CanonicalLine]) -> Iterable[Reason]:
    net = sum(line.functional_amount for line in lines)
    if net:
        yield _unbalanced("functional amounts", net, draft.ledger.functional_currency)


def currency_balance_rule(_draft: EntryDraft, lines: Sequence[CanonicalLine]) -> Iterable[Reason]:
    """A revaluation line counts as having its currency, with the amount 0."""
    currency = lines[0].currency
    net = sum(line.amount for line in lines)
    if net and all(line.currency == currency for line in lines):
        yield _unbalanced("amounts", net, currency)


BALANCE_RULES: tuple[Callable[[EntryDraft, Sequence[CanonicalLine]], Iterable[Reason]], ...] = (
    functional_balance_rule,
    currency_balance_rule,
)


def _unbalanced(what: str, net: int, currency: str) -> Reason:
    more, less = ("debits", "credits") if net > 0 else ("credits", "debits")
    difference = format_minor(abs(net), EXPONENTS[currency])
    message = f"the {what} do not balance: {more} exceed {less} by {difference} {currency}"
    return Reason(RejectionCode.UNBALANCED, message, ("lines",))


def _check_lines(draft: EntryDraft, reasons: list[Reason]) -> list[CanonicalLine]:
    resolved = []
    for index, line in enumerate(draft.lines):
        if not is_plain(line):
            path = ("lines", str(index))
            for rule in LINE_RULES:
                reasons.extend(rule(line, path))
        if (found := resolve_line(draft, index, line, reasons)) is not None:
            resolved.append(found)
    if resolved and len(resolved) == len(draft.lines):
        for balance_rule in BALANCE_RULES:
            reasons.extend(_once(balance_rule(draft, resolved), reasons))
    return resolved


def _once(found: Iterable[Reason], before: Sequence[Reason]) -> list[Reason]:
    """One word about an entry in one currency is enough: the second rule says the same there."""
    return [] if any(reason.code == RejectionCode.UNBALANCED for reason in before) else list(found)


def _entry_body(draft: EntryDraft, lines: Sequence[CanonicalLine]) -> bytes:
    return canonical.entry_body(
        effective_date=draft.effective_date,
        document_date=draft.document_date,
        journal=draft.journal,
        description=draft.description,
        reference=draft.reference,
        lines=lines,
    )


def _reversal_body(draft: ReversalDraft) -> bytes:
    return canonical.reversal_body(
        reverses=draft.sequence, effective_date=draft.effective_date, description=reversal_description(draft)
    )
