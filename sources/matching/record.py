"""What a bank's own record says of a transaction besides its text: the other side's account, references, charges, what was ordered,
that money came back. Pure, and bounded for any record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sources.matching.clues import is_mod97

MAX_RAW: Final = 65_536
_IBAN: Final = re.compile(r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b")
_AMOUNT: Final = r"Amt\s+Ccy=[\"']([A-Z]{3})[\"']\s*>\s*([0-9]{1,18}(?:\.[0-9]{1,5})?)\s*<"
_BLOCK: Final = re.compile(r"<((?:\w+:)?)Chrgs>((?:(?!<(?:\w+:)?Chrgs>).)*?)</\1Chrgs>", re.DOTALL)
_TOTAL: Final = re.compile(rf"<(?:\w+:)?TtlChrgsAndTax{_AMOUNT}")
_CHARGE: Final = re.compile(
    rf"(?:<(?:\w+:)?Rcrd>|^|</(?:\w+:)?TtlChrgsAndTaxAmt>)\s*<(?:\w+:)?{_AMOUNT}/(?:\w+:)?Amt>\s*(<(?:\w+:)?CdtDbtInd>\s*CRDT\s*<)?"
)
_MT_CHARGE: Final = re.compile(r"/CHGS/([A-Z]{3})([0-9]{1,15},[0-9]{0,5})")
_INSTRUCTED: Final = re.compile(
    rf"<(?:\w+:)?InstdAmt>\s*<(?:\w+:)?{_AMOUNT}|/OCMT/([A-Z]{{3}})([0-9]{{1,15}},[0-9]{{0,5}})"
)
_RETURNED: Final = re.compile(
    r"\b(?:RETURN(?:ED)?|REJECT(?:ED)?|REVERS(?:AL|ED)|REFUSED|UNPAID|BOUNCED|RUE?CKLASTSCHRIFT|RUE?CKUEBERWEISUNG|RETOURE|STORNO|"
    r"REJET|IMPAYE|A[CMG]0[1-9]|MD0[1-7]|MS0[23])\b"
)
_MARKED: Final = re.compile(r"<(?:\w+:)?(?:RvslInd>\s*(?:true|1)<|RtrInf>)")


def _texts_of(raw: Any) -> Iterator[str]:
    if isinstance(raw, str):
        yield raw
    elif isinstance(raw, Mapping):
        for each in raw.values():
            yield from _texts_of(each)
    elif isinstance(raw, list):
        for each in raw:
            yield from _texts_of(each)


def raw_text(raw: Any) -> str:
    """All texts of a source's own record, cut off at 64 KiB."""
    return "\n".join(_texts_of(raw))[:MAX_RAW]


def payer_account(raw: str, own: Iterable[str]) -> str | None:
    """The IBAN of the other side: the one valid IBAN of the record that is not the account's own."""
    mine = {each.replace(" ", "") for each in own}
    found = {code for code in _IBAN.findall(raw) if code not in mine and is_mod97(code)}
    return found.pop() if len(found) == 1 else None


def creditor_references(raw: str) -> str:
    """Structured references of a camt record, as a text."""
    return " ".join(re.findall(r"<(?:\w+:)?Ref>\s*([^<]{3,35})<", raw)[:20])


def charges(raw: str, currency: str, exponents: Mapping[str, int]) -> int | None:
    """What the bank says it kept in this currency, minor units; None: it says nothing, or several things. In camt (ISO 20022,
    Charges) an entry and its details may each state the same: as a total, as records that are summed, those given back (CRDT) taken
    off, or up to version 3 as blocks that follow each other. In MT 940 as /CHGS/ of field 86."""
    found = {_minor(stated, exponents[currency]) for code, stated in _MT_CHARGE.findall(raw) if code == currency}
    found |= {_kept(group, currency, exponents[currency]) for group in _groups(raw)}
    kept = found.pop() if len(found) == 1 else None
    return kept or None


def _groups(raw: str) -> Iterator[list[str]]:
    """Blocks of charges that stand beside each other."""
    group: list[str] = []
    end = -1
    for block in _BLOCK.finditer(raw):
        if group and raw[end : block.start()].strip():
            yield group
            group = []
        group.append(block[2].strip())
        end = block.end()
    if group:
        yield group


def _kept(group: Iterable[str], currency: str, exponent: int) -> int | None:
    """None: it is of another currency, or not an amount of it."""
    sum_ = 0
    for block in group:
        total = _TOTAL.search(block)
        stated = [(*total.groups(), "")] if total else _CHARGE.findall(block)
        for code, amount, given_back in stated:
            minor = _minor(amount, exponent)
            if code != currency or minor is None:
                return None
            sum_ += -minor if given_back else minor
    return sum_


def instructed(raw: str, exponents: Mapping[str, int]) -> tuple[str, int] | None:
    """Currency and minor units of what was ordered; None: it is not said, or several things are."""
    found = {(a or c, b or d) for a, b, c, d in _INSTRUCTED.findall(raw)}
    if len(found) != 1:
        return None
    currency, stated = found.pop()
    amount = _minor(stated, exponents[currency]) if currency in exponents else None
    return None if amount is None else (currency, amount)


def _minor(stated: str, exponent: int) -> int | None:
    whole, _, fraction = stated.replace(",", ".").partition(".")
    if fraction[exponent:].strip("0") or len(whole) > 15:
        return None
    return int(whole + fraction[:exponent].ljust(exponent, "0"))


def is_return(text: str, raw: str) -> bool:
    """Whether money came back: by words and codes of the bank's text (ISO 20022 external return reasons), or its own mark."""
    return bool(_RETURNED.search(text)) or bool(_MARKED.search(raw))
