"""What speaks for a document and against it, as reasons with points. Pure.

Points are fixed, so that the same clues always make the same score. Sentences name documents by their numbers, never people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sources.matching import clues
from sources.matching.model import Item, ItemKey, Line, Match, Reason, Rules
from sources.money import EXPONENTS, format_minor

LEAST_SCORE: Final = 35
"""A match below is not even proposed."""
PARTY_OTHER: Final = "PARTY_OTHER"
AMBIGUOUS: Final = "AMBIGUOUS"
_SAME: Final = 20
_LEAST: Final = 4


def name_of(item: Item) -> str:
    """What a reason calls a document."""
    if item.key.kind == "payroll_run":
        return "the payroll run"
    if item.key.kind == "bank_transaction":
        return f"the transaction of {item.dated}"
    return item.number or item.key.external_id


def names_of(items: Sequence[Item]) -> str:
    names = [name_of(item) for item in items]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def money(amount: int, currency: str) -> str:
    return f"{format_minor(abs(amount), EXPONENTS[currency])} {currency}"


def says(line: Line, kept: int) -> bool:
    """Whether the bank says that it kept just this: in its own field, or in the text, where a number without cents may be anything."""
    if line.charges == abs(kept):
        return True
    whole, _, cents = format_minor(abs(kept), EXPONENTS[line.currency]).partition(".")
    if not cents:
        return False
    return re.search(rf"(?<![0-9.,]){whole}[.,]{cents}(?![0-9])", line.text) is not None


def _years(line: Line) -> set[str]:
    """What is more likely a year than a number of anything."""
    return {str(line.dated.year + off) for off in (-1, 0, 1)}


class Naming:
    """Which of the documents a line names, by the keys that they have in common."""

    def __init__(self, line: Line, items: Iterable[Item]) -> None:
        self._hits: dict[ItemKey, set[str]] = {}
        held = {item.key: item for item in items}
        outer = clues.outermost(key for item in held.values() for key in item.keys & line.keys) - _years(line)
        for key, item in held.items():
            if hits := item.keys & line.keys & outer:
                self._hits[key] = set(hits)
            elif (short := short_number(line, item)) and not any(short in other for other in outer):
                self._hits[key] = {short}
        self._whole = {key for key in self._hits if self._hits[key] & clues.whole_keys(held[key].number)}

    def __contains__(self, key: ItemKey) -> bool:
        return key in self._hits

    def is_whole(self, key: ItemKey) -> bool:
        """Whether the text has the document's whole number, and it is one that means nothing else."""
        return key in self._whole

    @property
    def whole(self) -> frozenset[ItemKey]:
        """Of which the text has the whole number."""
        return frozenset(self._whole)

    def is_full(self, item: Item) -> bool:
        """Whether the text has the letters of the number too, or it has none: digits alone may be of something else."""
        return "".join(clues.runs(clues.plain(item.number))) in self._hits[item.key]

    def rivals(self, item: Item) -> set[ItemKey]:
        """Other documents that the same piece of text names."""
        hits = self._hits[item.key]
        return {key for key, theirs in self._hits.items() if key != item.key and theirs & hits}

    def reason(self, item: Item) -> Reason:
        if self.is_whole(item.key):
            return Reason("REFERENCE", 50, f"The text names {name_of(item)}.")
        if not item.keys:
            return Reason("REFERENCE_PART", 30, f"The text has {name_of(item)}, a short number.")
        return Reason("REFERENCE_PART", 30, f"The text has digits of the number of {name_of(item)}.")


def short_number(line: Line, item: Item) -> str | None:
    """The runs of a number that is too short for a key ("T-88"), where the text has it, with its letters: of three characters, or
    written as it is."""
    if item.keys or not item.number:
        return None
    stated = clues.plain(item.number)
    found = clues.runs(stated)
    if len(found) < 2 or not any(run.isdigit() for run in found):
        return None
    joined = "".join(found)
    if len(joined) > 2 and clues.has_runs(line.text, found):
        return joined
    return joined if re.search(rf"(?<![A-Z0-9]){re.escape(stated)}(?![A-Z0-9])", line.text) else None


def names(match: Match) -> bool:
    """Whether the text names what the match is about."""
    return any(reason.code in ("REFERENCE", "REFERENCE_PART") for reason in match.reasons)


def amount(line: Line, wanted: int, what: str) -> Reason:
    return Reason("AMOUNT", 30, f"{money(wanted, line.currency)} is what is open of {what}.")


def party(line: Line, item: Item, rules: Rules) -> Reason | None:
    """For or against the document's party; None: nothing is known."""
    found = _stance(line, item, rules)
    return None if found is None else Reason(found[0], found[1], found[2].format(name_of(item)))


def is_of_payer(line: Line, item: Item, rules: Rules) -> bool:
    """Whether `party` speaks for it."""
    found = _stance(line, item, rules)
    return found is not None and found[1] > 0


def _stance(line: Line, item: Item, rules: Rules) -> tuple[str, int, str] | None:
    """Code, points, and a sentence with a place for the document's name."""
    taught = rules.party_of(line)
    if taught is not None and item.party:
        if taught[1] == item.party:
            return "PAYER_RULE", 25, f"Rule {taught[0]} says that this payer is the party of {{}}."
        return PARTY_OTHER, -40, f"Rule {taught[0]} says that this payer is another party than that of {{}}."
    alike = clues.resemblance(line.party, item.party)
    if alike == 0 and item.party and not line.party and set(item.party.split()) <= clues.words(line.text):
        alike = 1
    if alike == 2:
        return "PARTY", _SAME, "The other side's name is that of the party of {}."
    if alike:
        return "PARTY", 12, "The other side's name resembles that of the party of {}."
    if not line.name_is_known and _has_number_of_party(line, item):
        return "PARTY", 12, "The text has the number of the party of {}."
    if line.name_is_known and item.party:
        return PARTY_OTHER, -40, "The other side's name is that of another party than that of {}."
    return None


def _has_number_of_party(line: Line, item: Item) -> bool:
    """One that is not at the same time a number of the document: that says one thing, not two."""
    number = item.party_id or ""
    return clues.is_strong(number) and number in line.keys and number not in item.keys


def is_for(reason: Reason | None) -> bool:
    return reason is not None and reason.points > 0


def is_same(reason: Reason | None) -> bool:
    """Whether it is the party itself: by just its name, or by rule."""
    return reason is not None and reason.points >= _SAME


def is_against(reason: Reason | None) -> bool:
    return reason is not None and reason.points < 0


def near_number(line: Line, item: Item) -> Reason | None:
    """Whether the text has the number but for one typing mistake."""
    said = clues.by_length(line.keys)
    around = (-1, 0, 1)
    if any(
        clues.is_near(key, other)
        for key in clues.whole_keys(item.number)
        for off in around
        for other in said.get(len(key) + off, ())
    ):
        return Reason("REFERENCE_NEAR", 20, f"The text has the number of {name_of(item)} but for one character.")
    return None


def last_digits(line: Line, item: Item) -> Reason | None:
    """Whether the text has the last digits of the number."""
    digits = "".join(each for each in clues.plain(item.number) if each.isdigit())
    said = line.keys - _years(line)
    if any(_LEAST <= len(run) < len(digits) and run.isdigit() and digits.endswith(run) for run in said):
        return Reason("REFERENCE_PART", 30, f"The text has digits of the number of {name_of(item)}.")
    return None


def day(line: Line, item: Item) -> Reason | None:
    """Whether it is the time for it."""
    meant = item.due_on or item.dated
    off = (line.dated - meant).days
    if -10 <= off <= 10 and item.dated <= line.dated:
        return Reason("DATE", 5, f"It is within ten days of {meant}, when {name_of(item)} is due.")
    if (line.dated - item.dated).days < -10:
        return Reason("DATE_BEFORE", -10, f"It is before {name_of(item)} was issued.")
    return None


def present(*reasons: Reason | None) -> tuple[Reason, ...]:
    return tuple(reason for reason in reasons if reason is not None)
