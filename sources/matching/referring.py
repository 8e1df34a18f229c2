"""A transaction whose text names documents: paid exactly, in part, less a fee, too much, in another currency, or twice. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sources.mapping.rates import Rates
from sources.matching import allocating, clues, evidence
from sources.matching.abroad import foreign
from sources.matching.evidence import Naming
from sources.matching.model import Item, ItemKey, Line, Match, Reason, Rules, Side
from sources.money import EXPONENTS

_FEE_UNITS: Final = 50
"""A bank keeps at most so many units of money, and a fifth of the payment."""
_FEE_PART: Final = 5
_KNOWN: Final = 40
"""Of a party with so many open documents not all were looked at."""
_LEAST: Final = 4
"""A number of fewer characters may be anything, where nothing is known of who pays."""
_DISCOUNTS: Final = (10, 15, 20, 25, 30, 40, 50)
"""What is usually taken off for paying early, in thousandths."""


def is_fee(currency: str, expected: int, paid: int) -> bool:
    """Whether what is missing may be what a bank kept of a payment."""
    missing = abs(expected) - abs(paid)
    most: int = min(_FEE_UNITS * 10 ** EXPONENTS[currency], abs(expected) // _FEE_PART)
    return 0 < missing <= most


def discount(expected: int, paid: int) -> str | None:
    """The percentage that is missing, where it is one that is usual for paying early."""
    missing = abs(expected) - abs(paid)
    for part in _DISCOUNTS:
        if missing > 0 and abs(missing * 1_000 - abs(expected) * part) <= 1_000:
            return f"{part / 10:g}"
    return None


class Referring:
    """`named`: open documents of the transaction's text that money may settle; `others`: further open ones of the same party."""

    def __init__(
        self, line: Line, named: Sequence[Item], others: Sequence[Item], naming: Naming, rules: Rules, rates: Rates
    ) -> None:
        self.line = line
        self._named = named
        self._others = others
        self.naming = naming
        self.rates = rates
        self._rules = rules
        self._items = {item.key: item for item in (*named, *others)}
        self._told: dict[ItemKey, Reason | None] = {}

    def _party(self, key: ItemKey) -> Reason | None:
        """For or against the document's party, once it is asked for."""
        if key not in self._told:
            item = self._items.get(key)
            self._told[key] = None if item is None else evidence.party(self.line, item, self._rules)
        return self._told[key]

    def matches(self) -> Iterator[Match]:
        """Those that explain the whole amount first."""
        same = [item for item in self._named if item.currency == self.line.currency]
        if any(item.expected * self.line.open > 0 for item in same):
            wholly = [item for item in same if self._is_named(item)]
            if (whole := self._whole(same) or self._whole(wholly)) is not None:
                yield whole
                return
            yield from self._alone(same)
            yield from self._several(same)
            if len(wholly) > 1:
                yield from self._short(wholly)
            along = [item for item in (wholly if len(wholly) == 1 else same) if item.expected * self.line.open > 0]
            if len(along) == 1:
                yield from self._single(along[0])
        abroad = [
            item for item in self._named if item.currency != self.line.currency and item.expected * self.line.open > 0
        ]
        if len(abroad) > 1 and len({item.currency for item in abroad}) == 1:
            yield from foreign(self, abroad)
        for item in abroad:
            yield from foreign(self, [item])

    def is_sound(self, items: Sequence[Item]) -> bool:
        """Whether the text means these documents and no others, and nothing speaks for another party."""
        if any(evidence.is_against(self._party(item.key)) for item in items):
            return False
        chosen = {item.key for item in items}
        if any(self._is_meant(item) for item in self._named if item.key not in chosen):
            return False
        for item in items:
            if not self._is_meant(item) or not (self.naming.is_full(item) or evidence.is_for(self._party(item.key))):
                return False
            for rival in self.naming.rivals(item) - chosen:
                if evidence.is_for(self._party(rival)) or not evidence.is_for(self._party(item.key)):
                    return False
        return len({item.party for item in items}) == 1

    def _is_named(self, item: Item) -> bool:
        """Whether the text has the whole number; of a short one, that may mean something else, where the other side is its party."""
        naming = self.naming
        return naming.is_whole(item.key) or (naming.is_full(item) and evidence.is_same(self._party(item.key)))

    def _is_meant(self, item: Item) -> bool:
        return self.naming.is_whole(item.key) or evidence.is_for(self._party(item.key))

    def reasons(self, items: Sequence[Item], *more: Reason | None) -> tuple[Reason, ...]:
        """Of several documents each kind of clue counts once, for the document where it says least."""
        found: dict[str, Reason] = {}
        for item in items:
            naming = self.naming.reason(item) if item.key in self.naming else None
            told = evidence.present(naming, self._party(item.key), evidence.day(self.line, item))
            for reason in told:
                group = reason.code.split("_")[0]
                if group not in found or reason.points < found[group].points:
                    found[group] = reason
        return (*found.values(), *evidence.present(*more))

    def _whole(self, items: Sequence[Item]) -> Match | None:
        """All that the text names, paid to the last cent."""
        line = self.line
        for amounts in ([item.expected for item in items], [item.open for item in items]):
            if sum(amounts) == line.open:
                told = evidence.amount(line, line.open, evidence.names_of(items))
                pairs = zip(items, amounts, strict=True)
                allocations = tuple(allocating.of_item(item, amount) for item, amount in pairs)
                sound = self.is_sound(items) and not self._is_mistakable(items)
                sound = sound or (len(items) == 1 and self._is_single(items[0]))
                return Match(line.key, allocations, self.reasons(items, told), certain=sound)
        return None

    def _alone(self, items: Sequence[Item]) -> Iterator[Match]:
        """One of what the text has digits of, paid to the last cent, beside numbers that are of something else: certain where its party
        pays, no other document of the party is of this amount, and none is named wholly."""
        line = self.line
        for item in items:
            if item.expected == line.open:
                told = evidence.amount(line, line.open, evidence.name_of(item))
                allocation = allocating.of_item(item, line.open)
                yield Match(line.key, (allocation,), self.reasons([item], told), certain=self._is_single(item))

    def _is_single(self, item: Item) -> bool:
        """No other document that is open is of this amount, none is named wholly, and its party pays; or it is named by all of a short
        number, and nothing is known of who pays."""
        line, party = self.line, self._party(item.key)
        if len(self._others) >= _KNOWN:
            return False
        if not self.naming.whole <= {item.key} or item.dated > line.dated or evidence.is_against(party):
            return False
        same = [each for each in (*self._named, *self._others) if line.open in (each.expected, each.open)]
        rivals = [each for each in same if each.key != item.key]
        if evidence.is_same(party):
            return all(evidence.is_against(self._party(each.key)) for each in rivals)
        if rivals or not self.naming.is_full(item) or len("".join(clues.runs(clues.plain(item.number)))) < _LEAST:
            return False
        return not any(evidence.is_for(self._party(key)) for key in self._items if key != item.key)

    def _is_mistakable(self, items: Sequence[Item]) -> bool:
        """Whether the number may be that of another document of the same amount, mistyped, and no name says which is meant."""
        if len(items) > 1 or evidence.is_for(self._party(items[0].key)):
            return False
        return any(
            each.expected == self.line.open
            and not evidence.is_against(self._party(each.key))
            and evidence.near_number(self.line, each)
            for each in self._others
        )

    def _several(self, named: Sequence[Item]) -> Iterator[Match]:
        """Some of what the text names, or that and more of the same party."""
        line = self.line
        parties = {item.party for item in named if item.party}
        more = [item for item in self._others if item.currency == line.currency and item.party in parties]
        pool = [*named, *more][: allocating.MAX_ITEMS]
        if (credited := self._less_credit(named)) is not None:
            yield credited
        ways = allocating.sums([item.expected for item in pool], line.open, least=2)
        for way in ways[:1] if len(ways) == 2 and ways[0] == ways[1] else ways:
            items = [pool[at] for at in way]
            if not any(item.key in self.naming for item in items):
                continue
            told = Reason(
                "SUM", 20, f"{evidence.money(line.open, line.currency)} is the sum of {evidence.names_of(items)}."
            )
            allocations = tuple(allocating.of_item(item, item.expected) for item in items)
            yield Match(line.key, allocations, self.reasons(items, told))

    def _less_credit(self, named: Sequence[Item]) -> Match | None:
        """What is named, less one credit note of the same party that is not: certain where the text says that something was taken
        off, and no other one would do."""
        line = self.line
        meant = [item for item in named if self._is_named(item)]
        parties = {item.party for item in meant}
        if not meant or len(parties) != 1 or not clues.is_less(line.text):
            return None
        rest = line.open - sum(item.expected for item in meant)
        notes = [
            item
            for item in (*named, *self._others)
            if item not in meant and item.currency == line.currency and item.expected == rest and item.party in parties
        ]
        if any(item.dated > line.dated for item in notes):
            return None
        if len(notes) != 1 or rest * line.open >= 0:
            return None
        items = [*meant, notes[0]]
        told = Reason(
            "SUM", 20, f"{evidence.money(line.open, line.currency)} is the sum of {evidence.names_of(items)}."
        )
        allocations = tuple(allocating.of_item(item, item.expected) for item in items)
        certain = self.is_sound(meant) and all(evidence.is_same(self._party(item.key)) for item in items)
        return Match(line.key, allocations, self.reasons(items, told), certain=certain)

    def _single(self, item: Item) -> Iterator[Match]:
        line, expected = self.line, item.expected
        if abs(line.open) > abs(expected):
            rest = line.open - expected
            if self._says(expected) is not None:
                yield self._less_fee([item])
                return
            text = f"{evidence.money(rest, line.currency)} more was paid than is open of {evidence.name_of(item)}."
            more = allocating.on_account(line, rest, allocating.side_of(item), item.party_id)
            reasons = self.reasons([item], Reason("OVERPAID", 5, text))
            certain = self._is_overpaid(item, rest)
            yield Match(line.key, (allocating.of_item(item, expected), more), reasons, certain=certain)
            return
        if line.amount > 0 and (is_fee(line.currency, expected, line.open) or self._says(expected) is not None):
            yield self._less_fee([item])
        if percent := discount(expected, line.open):
            yield self._less_discount([item], percent)
        text = f"{evidence.money(line.open, line.currency)} is a part of what is open of {evidence.name_of(item)}."
        reasons = self.reasons([item], Reason("PARTIAL", 10, text))
        yield Match(line.key, (allocating.of_item(item, line.open),), reasons, certain=self._is_instalment(item))

    def _says(self, expected: int) -> Reason | None:
        """What the bank itself says of the difference: that it kept just this, or that what is open was ordered."""
        line = self.line
        kept = line.open - expected
        if kept < 0 and line.charges == -kept:
            text = f"The bank says that it kept {evidence.money(kept, line.currency)} of it."
            return Reason("AMOUNT_LESS_CHARGES", 30, text)
        if line.amount > 0 and kept < 0 and line.instructed == (line.currency, expected):
            return Reason(
                "AMOUNT_ORDERED", 30, f"The bank says that {evidence.money(expected, line.currency)} was ordered."
            )
        return None

    def _less_fee(self, items: Sequence[Item]) -> Match:
        """Less arrived than was paid, or more went out: certain where the bank says why."""
        line = self.line
        expected = sum(item.expected for item in items)
        kept = line.open - expected
        allocations = (*(allocating.of_item(item, item.expected) for item in items), allocating.fee(line, kept))
        text = f"{evidence.money(kept, line.currency)} is missing, as much as a bank may have kept."
        said = self._says(expected)
        reasons = self.reasons(items, said or Reason("AMOUNT_LESS_FEE", 15, text))
        sound = said is not None and all(self.naming.is_whole(item.key) for item in items) and self.is_sound(items)
        return Match(line.key, allocations, reasons, certain=sound)

    def _less_discount(self, items: Sequence[Item], percent: str) -> Match:
        line = self.line
        missing = line.open - sum(item.expected for item in items)
        text = (
            f"{percent} % are missing of {evidence.names_of(items)}, as if taken off for paying early: they would be written off, "
            "and nothing of their tax."
        )
        off = allocating.write_off(line, missing, allocating.side_of(items[0]), items[0].party_id)
        whole = tuple(allocating.of_item(item, item.expected) for item in items)
        return Match(line.key, (*whole, off), self.reasons(items, Reason("AMOUNT_LESS_DISCOUNT", 20, text)))

    def _short(self, items: Sequence[Item]) -> Iterator[Match]:
        """Several that are named, less than they come to was paid: the rest stays open of the largest, or was taken off."""
        line = self.line
        total = sum(item.expected for item in items)
        missing = total - line.open
        if self._says(total) is not None:
            yield self._less_fee(items)
            return
        if missing * line.open <= 0 or abs(missing) >= abs(line.open):
            return
        if percent := discount(total, line.open):
            yield self._less_discount(items, percent)
        largest = max(items, key=lambda item: abs(item.expected))
        if abs(largest.expected) <= abs(missing) or largest.expected * missing < 0:
            return
        text = f"It is {evidence.money(missing, line.currency)} less than is open of {evidence.names_of(items)}."
        parts = tuple(allocating.of_item(item, item.expected - (missing if item is largest else 0)) for item in items)
        yield Match(line.key, parts, self.reasons(items, Reason("PARTIAL", 10, text)))

    def _is_overpaid(self, item: Item, rest: int) -> bool:
        """More for the one document that is named, whole, by its own party, and nothing else of that party that the rest may be for,
        or that explains all of it: then the number may be wrong.
        What went out may be more by what the bank took, and who says that it is for more than this pays for more."""
        line = self.line
        if line.amount < 0 or clues.is_partial(line.text) or clues.is_less(line.text):
            return False
        if not (self._is_named(item) and self.is_sound([item]) and evidence.is_same(self._party(item.key))):
            return False
        rests = [
            each.expected
            for each in (*self._named, *self._others)
            if each.key != item.key and each.currency == line.currency
        ]
        if allocating.is_sum_of_few(rests, line.open):
            return False
        others = [each for each in rests if abs(each) <= abs(rest)]
        small = 2 * abs(rest) < abs(item.expected) and len(self._others) < _KNOWN
        return small and len(others) <= allocating.FEW and not allocating.sums(others, rest)

    def _is_instalment(self, item: Item) -> bool:
        """A part of the one document that is named, whole, by its own party, where nothing else of that party explains the amount
        and no fee does."""
        line = self.line
        if not (self._is_named(item) and self.is_sound([item]) and evidence.is_for(self._party(item.key))):
            return False
        may_be_less = is_fee(line.currency, item.expected, line.open) or discount(item.expected, line.open)
        if (may_be_less or not self.naming.is_whole(item.key)) and not clues.is_partial(line.text):
            return False
        if clues.is_less(line.text):
            return False
        others = [
            each for each in (*self._named, *self._others) if each.key != item.key and each.currency == line.currency
        ]
        rests = [item.expected, *(each.expected for each in others if each.party == item.party)]
        return len(rests) < _KNOWN and not allocating.is_sum_of_few(rests, line.open)


def settled_already(line: Line, items: Sequence[Item], naming: Naming, rules: Rules) -> Match | None:
    """Of a transaction that names nothing open but something that is paid, or was annulled: it stays with the party."""
    paid = [item for item in items if item.open == 0 and item.side is not Side.CLEARING and naming.is_whole(item.key)]
    if len(paid) != 1 or paid[0].currency != line.currency:
        return None
    item = paid[0]
    told = Reason("SETTLED_ALREADY", -5, f"{evidence.name_of(item)} is paid already; it may have been paid twice.")
    if item.is_void:
        told = Reason("ANNULLED", -5, f"{evidence.name_of(item)} was annulled or taken back; nothing is owed for it.")
    party = evidence.party(line, item, rules)
    reasons = evidence.present(naming.reason(item), party, told)
    return Match(line.key, (allocating.on_account(line, line.open, allocating.side_of(item), item.party_id),), reasons)
