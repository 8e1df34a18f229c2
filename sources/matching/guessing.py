"""A transaction whose text names no document: an amount that is open, a sum of a party's documents, a payout, a payroll run, a transfer
between own accounts, money that came back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sources.mapping.rates import Rates
from sources.matching import allocating, clues, evidence, exchange, wages
from sources.matching.evidence import Naming
from sources.matching.model import Allocation, Item, ItemKey, Line, Match, Reason, Rules
from sources.money import EXPONENTS

_PAYOUT_DAYS: Final = (-2, 7)
_TRANSFER_DAYS: Final = (-5, 5)
_RETURN_DAYS: Final = 70
_RETURN_UNITS: Final = 50
"""A bank takes at most so many units of money for a return."""
_MOST_OF_PARTY: Final = 12
_KNOWN: Final = 40
"""Of a party with so many open documents not all were looked at."""


def by_amount(line: Line, items: Sequence[Item], rules: Rules) -> Iterator[Match]:
    """Invoices whose whole rest would be paid. Certain where a person taught who the payer is, and it is the only one of that party
    with this rest, which no other sum explains; or where its party pays, by name, and the text has the last digits of its number."""
    for item in items:
        if item.key.kind == "invoice" and item.currency == line.currency and line.open in (item.expected, item.open):
            party = evidence.party(line, item, rules)
            told = evidence.amount(line, line.open, evidence.name_of(item))
            digits = evidence.last_digits(line, item)
            near = digits or evidence.near_number(line, item)
            reasons = evidence.present(near, told, party, evidence.day(line, item))
            taught = rules.party_of(line)
            by_rule = taught is not None and taught[1] == item.party and _is_only_one(line, item, items)
            certain = by_rule or (digits is not None and evidence.is_same(party) and _is_of_amount(line, item, items))
            found = Match(line.key, (allocating.of_item(item, line.open),), reasons, certain=certain)
            yield _by_rule(found, taught[0]) if by_rule and taught else found


def by_rate(line: Line, items: Sequence[Item], rules: Rules, rates: Rates) -> Iterator[Match]:
    """An invoice of the payer's in another currency, of about this amount by the day's rate. Never certain: see `referring`."""
    for item in items:
        if item.key.kind != "invoice" or item.currency == line.currency:
            continue
        party = evidence.party(line, item, rules)
        told = exchange.about(line, item.expected, item.currency, rates) if evidence.is_same(party) else None
        if told is not None:
            reasons = evidence.present(told, party, evidence.day(line, item))
            yield Match(line.key, (allocating.of_item(item, item.expected, line.open),), reasons)


def _by_rule(match: Match, rule_id: int) -> Match:
    return Match(match.line, match.allocations, match.reasons, match.certain, rule_id)


def _is_only_one(line: Line, item: Item, items: Sequence[Item]) -> bool:
    rests = [
        each.expected
        for each in items
        if each.party == item.party and each.currency == line.currency and each.key != item.key
    ]
    return len(rests) <= allocating.FEW and not allocating.sums(rests, line.open) and item.dated <= line.dated


def _is_of_amount(line: Line, item: Item, items: Sequence[Item]) -> bool:
    """Whether no other document of its party is of this amount."""
    mine = [each for each in items if each.party == item.party]
    same = [each for each in mine if line.open in (each.expected, each.open)]
    return len(same) == 1 and len(mine) < _KNOWN and item.dated <= line.dated


def by_sum(line: Line, items: Sequence[Item], rules: Rules) -> Iterator[Match]:
    """Several invoices of the payer's that come to the amount, the oldest of them first."""
    pool = [
        item
        for item in items
        if item.key.kind == "invoice" and item.currency == line.currency and evidence.is_of_payer(line, item, rules)
    ]
    by_party: dict[str, list[Item]] = {}
    for item in sorted(pool, key=lambda each: (each.dated, each.key)):
        by_party.setdefault(item.party, []).append(item)
    for all_of_it in by_party.values():
        for chosen in _sums(line, all_of_it):
            text = (
                f"{evidence.money(line.open, line.currency)} is the sum of {len(chosen)} open documents of one party."
            )
            near = next((found for item in chosen if (found := evidence.near_number(line, item))), None)
            party = evidence.party(line, chosen[0], rules)
            reasons = evidence.present(Reason("SUM", 20, text), near, party, evidence.day(line, chosen[0]))
            yield Match(line.key, tuple(allocating.of_item(item, item.expected) for item in chosen), reasons)


def _sums(line: Line, mine: Sequence[Item]) -> Iterator[list[Item]]:
    """Of one party's documents, the oldest first: those of some days that follow each other, or any of a few."""
    issued = [item for item in mine if item.dated <= line.dated]
    follow = list(_following(issued, line.open))
    yield from follow[:2]
    for few in (issued[-_MOST_OF_PARTY:], mine[:_MOST_OF_PARTY]):
        ways = dict.fromkeys(allocating.sums([item.expected for item in few], line.open, least=2))
        found = [chosen for way in ways if (chosen := [few[at] for at in way]) not in follow]
        if follow or found:
            yield from found
            return


def _following(items: Sequence[Item], wanted: int) -> Iterator[list[Item]]:
    """Several that stand together and come to it."""
    for start in range(len(items)):
        total = items[start].expected
        for end in range(start + 1, len(items)):
            total += items[end].expected
            if total == wanted:
                yield list(items[start : end + 1])


def by_likeness(line: Line, items: Sequence[Item], rules: Rules) -> Iterator[Match]:
    """A part of an invoice of the payer's whose number is written with a mistake."""
    for item in items:
        if item.key.kind != "invoice" or item.currency != line.currency or abs(line.open) >= abs(item.expected):
            continue
        if line.open * item.expected < 0 or not evidence.is_of_payer(line, item, rules):
            continue
        if (near := evidence.near_number(line, item)) is not None:
            text = f"{evidence.money(line.open, line.currency)} is a part of what is open of {evidence.name_of(item)}."
            reasons = evidence.present(near, evidence.party(line, item, rules), Reason("PARTIAL", 10, text))
            yield Match(line.key, (allocating.of_item(item, line.open),), reasons)


# ---------------------------------------------------------------- what clears an amount that is on the clearing account


def clearing(line: Line, items: Sequence[Item], naming: Naming) -> Iterator[Match]:
    """Payouts, payroll runs and own transfers of just this amount, at about the day. Certain with a word for it, where no other one
    of the same kind would do."""
    for kind, days, clue in (
        ("payment", _PAYOUT_DAYS, _of_processor),
        ("payroll_run", wages.DAYS, _of_payroll),
        ("bank_transaction", _TRANSFER_DAYS, _of_own_account),
    ):
        found = []
        for item in items:
            rest = -item.open if kind == "bank_transaction" else item.open
            if item.key.kind != kind or item.currency != line.currency or rest != line.open:
                continue
            if kind == "bank_transaction" and item.key[1:3] == line.key[1:3]:
                continue
            if days[0] <= (line.dated - (item.due_on or item.dated)).days <= days[1]:
                found.append((item, clue(line, item, naming)))
        sure = [item.key for item, reason in found if reason is not None]
        for item, reason in found:
            told = evidence.amount(line, line.open, evidence.name_of(item))
            when = Reason("DATE", 10, f"It is of the days in which the money of {evidence.name_of(item)} moves.")
            allocation = allocating.of_item(item, line.open)
            certain = reason is not None and len(sure) == 1 and (len(found) == 1 or reason.points >= 40)
            certain = certain and not _is_of_somebody(line, item)
            yield Match(line.key, (allocation,), evidence.present(reason, told, when), certain=certain)


def _is_of_somebody(line: Line, item: Item) -> bool:
    """Of a payroll run that is paid in part: whether it may be one employee's pay, and not all the rest. See `wages`."""
    return item.key.kind == "payroll_run" and item.open != item.amount and bool(line.party)


def _of_processor(line: Line, item: Item, naming: Naming) -> Reason | None:
    if item.key in naming and naming.is_whole(item.key):
        return naming.reason(item)
    words = set(clues.runs(line.text)) | set(line.party.split())
    if item.party and set(item.party.split()) & words:
        return Reason("PROCESSOR", 30, "The text names the payment processor, or who paid or was paid.")
    return None


def _of_payroll(line: Line, item: Item, naming: Naming) -> Reason | None:
    return Reason("PAYROLL", 30, "The text says that it pays wages.") if clues.is_payroll(line.text) else None


def _of_own_account(line: Line, item: Item, naming: Naming) -> Reason | None:
    if (line.payer and line.payer == item.key.account) or (item.payer and item.payer == line.key.account):
        return Reason("OWN_ACCOUNT", 40, "The other side is an own account.")
    return None


# ---------------------------------------------------------------- money that came back


def returns(line: Line, earlier: Sequence[Item], matched: Mapping[ItemKey, Sequence[Allocation]]) -> Iterator[Match]:
    """An earlier transaction of the account, taken back: its own match is undone by an opposite one; where it has none, the two
    clear each other. Certain where the bank says that money came back, and both share a reference that no other one shares; and where
    it took something for that, if it says how much."""
    found = []
    for item in earlier if line.is_return else ():
        kept = line.open + item.amount
        shared = any(clues.is_strong(key) for key in item.keys & line.keys)
        alike = clues.resemblance(line.party, item.party) == 2
        if _may_be_back(line, item, kept) and (shared or (alike and not kept)):
            found.append((item, kept, shared, alike))
    exactly = any(shared and not kept for _, kept, shared, _ in found)
    sharing = [item.key for item, kept, shared, _ in found if shared and not (kept and exactly)]
    for item, kept, shared, alike in found:
        allocations = _taken_back(line, item, kept, matched)
        if allocations is None or (kept and exactly):
            continue
        reasons = evidence.present(
            Reason("RETURN", 25, "The bank says that money came back."),
            Reason("REFERENCE", 30, "Both have the same reference.") if shared else None,
            Reason("PARTY", 15, "Both have the same other side.") if alike else None,
            _amount_back(line, item, kept),
        )
        undoes = item.key if item.key in matched else None
        certain = shared and len(sharing) == 1 and (not kept or evidence.says(line, kept))
        yield Match(line.key, allocations, reasons, certain=certain, returns=undoes)


def _may_be_back(line: Line, item: Item, kept: int) -> bool:
    """`kept`: what the bank took for it, never positive: it gets less back than was paid, or more is taken back than came in."""
    most = _RETURN_UNITS * 10 ** EXPONENTS[line.currency]
    days = (line.dated - item.dated).days
    return item.amount * line.amount < 0 and -most <= kept <= 0 and 0 <= days <= _RETURN_DAYS


def _amount_back(line: Line, item: Item, kept: int) -> Reason:
    if not kept:
        return Reason("AMOUNT", 30, f"It is the amount of {evidence.name_of(item)}, the other way.")
    taken = evidence.money(kept, line.currency)
    if evidence.says(line, kept):
        return Reason("AMOUNT_LESS_CHARGES", 30, f"The bank says that it took {taken} for it.")
    return Reason("AMOUNT_LESS_FEE", 15, f"It differs by {taken}, as much as a bank may have taken for it.")


def _taken_back(
    line: Line, item: Item, kept: int, matched: Mapping[ItemKey, Sequence[Allocation]]
) -> tuple[Allocation, ...] | None:
    back = line.open - kept
    fee = (allocating.fee(line, kept),) if kept else ()
    if item.key in matched:
        allocations = allocating.returned(matched[item.key])
        return (*allocations, *fee) if sum(each.bank_amount for each in allocations) == back else None
    return (allocating.of_item(item, back), *fee) if item.open == -back else None
