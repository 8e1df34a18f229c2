"""From bank transactions and what they may be about to matches. Pure: the same clues give the same match, whatever came before.

A match is certain where the text names the documents, the amount is what is open of them and nothing speaks for another party, or where
a rule that a person taught says so. Where two matches are certain, or as good as each other, none is.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sources.mapping.rates import Rates
from sources.matching import allocating, clues, evidence, guessing, payment_runs, referring, wages
from sources.matching.evidence import AMBIGUOUS, LEAST_SCORE, Naming
from sources.matching.model import Allocation, Candidates, Item, ItemKey, Line, Match, Reason, Rules

MOST_PROPOSED: Final = 3
"""For one transaction."""


@dataclass(slots=True)
class Around:
    """What else is known. `claims`: see `kept.claims`; what another transaction may have paid already is not certain. `runs`: payroll
    runs of which a line may pay a part; `together`: payments that were made as one. `rates`: of the lines' days."""

    claims: dict[tuple[ItemKey, int], set[ItemKey]] = field(default_factory=dict)
    runs: list[wages.Run] = field(default_factory=list)
    together: list[list[ItemKey]] = field(default_factory=list)
    rates: Rates = field(default_factory=Rates)


def decide(
    lines: Sequence[Line],
    candidates: Mapping[ItemKey, Candidates],
    items: dict[ItemKey, Item],
    matched: MutableMapping[ItemKey, Sequence[Allocation]],
    rules: Rules,
    around: Around | None = None,
) -> dict[ItemKey, list[Match]]:
    """By line: one certain match, or those that are proposed, the best first. `items` holds the lines themselves too, and what the
    candidates name; what is open of them, and `matched` (transactions that have a live match which was not taken back), are
    afterwards as they are once the certain matches stand. In order of date, so that of two payments the earlier one counts."""
    found: dict[ItemKey, list[Match]] = {}
    around = Around() if around is None else around
    claimed = around.claims
    for stated in sorted(lines, key=lambda each: (each.dated, each.key)):
        line = replace(stated, open=items[stated.key].open)
        if line.open == 0:
            found[line.key] = []
            continue
        fitting = [
            each
            for each in _options(line, candidates.get(line.key, Candidates()), items, matched, rules, around)
            if _fits(line, items, each)
        ]
        mine = _chosen([_contested(each, claimed) for each in fitting])
        for match in mine:
            if (claim := _claim(match)) and not match.certain and evidence.names(match):
                claimed.setdefault(claim, set()).add(line.key)
        if mine and mine[0].certain:
            allocating.apply(line, items, mine[0].allocations)
            matched[line.key] = mine[0].allocations
            wages.pay(line, around.runs, mine[0].allocations)
            if mine[0].returns is not None:
                matched.pop(mine[0].returns, None)
        found[line.key] = mine
    return found


def _claim(match: Match) -> tuple[ItemKey, int] | None:
    """The one document that it is about, and how much of it."""
    if len(match.allocations) != 1 or match.allocations[0].key.kind != "invoice":
        return None
    return match.allocations[0].key, match.allocations[0].amount


def _contested(match: Match, claims: Mapping[tuple[ItemKey, int], set[ItemKey]]) -> Match:
    """A certain match of what another transaction, that waits for a person, names with the same amount is certain no more."""
    claim = _claim(match)
    if not match.certain or claim is None or not claims.get(claim, set()) - {match.line}:
        return match
    told = Reason("CLAIMED", 0, "Another transaction names it with the same amount, and waits to be decided.")
    return replace(match, certain=False, rule_id=None, reasons=(*match.reasons, told))


def _fits(line: Line, items: dict[ItemKey, Item], match: Match) -> bool:
    """Whether there is as much as it allocates: what comes back may be of money that came back before."""
    try:
        allocating.check(line, items, match.allocations)
    except allocating.Unfit:
        return False
    return True


def _options(
    line: Line,
    mine: Candidates,
    items: dict[ItemKey, Item],
    matched: Mapping[ItemKey, Sequence[Allocation]],
    rules: Rules,
    around: Around,
) -> list[Match]:
    never = rules.never.get(line.key, frozenset())

    def known(keys: Sequence[ItemKey]) -> list[Item]:
        found = [items[key] for key in keys if key in items and key != line.key]
        return [item for item in found if {item.key} not in never] if never else found

    if (taught := _by_text(line, rules)) is not None and taught.subjects not in never:
        return [taught]
    named = known(mine.named)
    named += [item for item in known(mine.of_party) if _has_short_number(line, item, rules)]
    naming = Naming(line, [item for item in named if item.key.kind != "bank_transaction"])
    others = [item for item in known([*mine.of_party, *mine.alike]) if item.ready and item.open]
    options = list(guessing.returns(line, known(mine.earlier), matched))
    meant = [item for item in named if item.key in naming and item.ready and item.open and item.key.kind == "invoice"]
    if meant:
        of_party = [item for item in others if item.key.kind == "invoice" and item.key not in naming]
        options += referring.Referring(line, meant, _once(of_party), naming, rules, around.rates).matches()
    elif (twice := referring.settled_already(line, named, naming, rules)) is not None:
        options.append(twice)
    if not any(option.certain for option in options):
        pool = _once([item for item in [*named, *others] if item.ready and item.open])
        options += _guessed(line, pool, naming, rules, bool(meant))
        options += guessing.by_rate(line, [item for item in pool if item.key not in naming], rules, around.rates)
        options += wages.parts(line, around.runs, items)
        options += payment_runs.sums(line, around.together, items)
    return [option for option in options if option.subjects not in never]


def _has_short_number(line: Line, item: Item, rules: Rules) -> bool:
    """A number that is too short to be looked for counts with its party, whose documents are known anyway."""
    return evidence.short_number(line, item) is not None and evidence.is_of_payer(line, item, rules)


def _guessed(line: Line, pool: list[Item], naming: Naming, rules: Rules, names_some: bool) -> list[Match]:
    """A text that names a document makes nothing else certain."""
    rest = [item for item in pool if item.key not in naming]
    invoices = list(guessing.by_amount(line, rest, rules))
    invoices += guessing.by_sum(line, rest, rules)
    found = [*invoices, *guessing.clearing(line, pool, naming), *guessing.by_likeness(line, rest, rules)]
    return [replace(option, certain=False, rule_id=None) for option in found] if names_some else found


def _by_text(line: Line, rules: Rules) -> Match | None:
    """By a rule that says which account such a text goes to; of several the one with the most words, the oldest of these."""
    words = set(clues.runs(line.text))
    taught = [each for each in rules.texts if each[1] <= words and each[2] == (line.amount > 0)]
    if not taught:
        return None
    rule_id, _, _, code = min(taught, key=lambda each: (-len(each[1]), each[0]))
    reason = Reason("TEXT_RULE", 100, f"Rule {rule_id} says that such a text goes to the account {code}.")
    return Match(line.key, (allocating.to_account(line, line.open, code),), (reason,), certain=True, rule_id=rule_id)


def _once(items: Sequence[Item]) -> list[Item]:
    return list({item.key: item for item in items}.values())


def _chosen(options: Sequence[Match]) -> list[Match]:
    """The certain one, or the best of all."""
    distinct: dict[object, Match] = {}
    for option in options:
        held = distinct.get(option.targets)
        if held is None or (option.certain, option.score) > (held.certain, held.score):
            distinct[option.targets] = option
    certain = [option for option in distinct.values() if option.certain]
    if len(certain) == 1:
        return certain
    ordered = sorted(distinct.values(), key=lambda option: (-option.score, option.targets))
    best = [option for option in ordered if option.score >= LEAST_SCORE][:MOST_PROPOSED]
    return [_doubted(option, best) for option in best]


def _doubted(option: Match, best: Sequence[Match]) -> Match:
    """Proposed; where another one is as good, it says so."""
    rivals = sum(other.score == option.score for other in best) - 1
    reasons = option.reasons
    if rivals:
        reasons = (*reasons, Reason(AMBIGUOUS, 0, "Another match is as good."))
    return replace(option, certain=False, rule_id=None, reasons=reasons)
