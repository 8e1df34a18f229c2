"""A document and the rules -> the postings that it calls for, or why there are none. Pure; nothing is ever guessed.

the first rule that takes the document -> its figures must agree -> each posting's lines -> functional amounts -> balance
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final

from sources.mapping.compiled import Account, LineRule, NotMapped, PostingRule, Rule, RuleSet, Spread
from sources.mapping.facts import Facts
from sources.mapping.functional import Exchange, Line, Side, completed
from sources.mapping.identities import disagreement
from sources.mapping.language import ExpressionFailed, Getter, as_date
from sources.mapping.model import MappedPosting, Mapping, Unmapped, UnmappedCode
from sources.mapping.payloads import Scope
from sources.mapping.rates import Rates
from sources.mapping.splitting import Month, months, split
from sources.mapping.starter import STARTER_FILE
from sources.money import EXPONENTS, MAX_MINOR

MAX_CODE: Final = 255
MAX_DESCRIPTION: Final = 1_000

_NO_ITEM: Final = (None,)
_LACKS_HINT: Final = (
    "They are asked for again by themselves, after longer and longer pauses; the source must let us read payslips."
)


def map_document(rules: RuleSet, facts: Facts, rates: Rates, functional_currency: str) -> Mapping:
    """The postings of one version of a document, in the rule's order; () where the rule says that nothing posts. Raises Unread."""
    scope = Scope(facts.names, item=None, settings=rules.settings)
    try:
        rule = _rule_for(rules, facts, scope)
        if not rule.postings:
            return ()
        if facts.lacks is not None:
            raise NotMapped(UnmappedCode.PAYSLIPS_NOT_READ, facts.lacks, _LACKS_HINT)
        if found := disagreement(facts):
            hint = f"Correct the document in {facts.source}; it is read again then."
            return Unmapped(UnmappedCode.DISAGREEING_FIGURES, found, hint)
        postings: list[MappedPosting] = []
        for posting in rule.postings:
            if posting.condition is None or _value(posting.condition, scope, posting.where):
                postings += _Mapper(rules, rule, posting, facts, rates, functional_currency).run(scope)
        return tuple(postings)
    except NotMapped as error:
        return error.unmapped


def _rule_for(rules: RuleSet, facts: Facts, scope: dict[str, Any]) -> Rule:
    for rule in rules.rules[facts.kind]:
        if rule.sources is not None and facts.source not in rule.sources:
            continue
        if all(getter(scope) in values for getter, values in rule.when) and (
            rule.condition is None or _value(rule.condition, scope, rule.where)
        ):
            return rule
    told = [f"{name} {facts.names[name]}" for name in _TELLING if facts.names.get(name)]
    message = f"no rule of {rules.file} takes this {facts.kind.replace('_', ' ')} ({', '.join(told)})"
    hint = f'Add a rule for kind = "{facts.kind}" that takes it, with postings = [] if it should not post.'
    raise NotMapped(UnmappedCode.NO_RULE, message, hint)


_TELLING: Final = ("direction", "kind", "type", "status", "source_status")


class _Mapper:
    """One posting rule over one document."""

    def __init__(
        self, rules: RuleSet, rule: Rule, posting: PostingRule, facts: Facts, rates: Rates, functional: str
    ) -> None:
        self._rules = rules
        self._rule = rule
        self._posting = posting
        self._facts = facts
        self._rates = rates
        self._functional = functional

    def run(self, scope: dict[str, Any]) -> Iterator[MappedPosting]:
        posting = self._posting
        day = self._date(posting.date, posting.date_text, scope)
        rated = day if posting.rate_on is None else self._date(posting.rate_on, "rate_on", scope)
        exchange = Exchange(self._rates, self._functional, posting.rate_type, rated)
        if posting.spread is None:
            lines: list[Line] = []
            for line in posting.lines:
                for amount in self._amounts(line, scope):
                    self._add(lines, line, scope, amount, rated)
            yield from self._entry(posting.name, day, day, None, lines, scope, exchange)
            return
        by_month: dict[Month, list[Line]] = {}
        for line in posting.lines:
            for amount in self._amounts(line, scope):
                for month, part in _spread(posting.spread, amount, scope, line.where):
                    self._add(by_month.setdefault(month, []), line, scope, part, rated)
        for month in sorted(by_month):
            name = f"{posting.name}/{month.label}"
            yield from self._entry(name, day, month.end, month.label, by_month[month], scope, exchange)

    def _amounts(self, line: LineRule, scope: dict[str, Any]) -> Iterator[int]:
        """The line's amounts, debit positive, with the item that each is of in the scope. Zero drops the line."""
        items: Iterable[Any] = _NO_ITEM if line.each is None else scope[line.each] or ()
        for item in items:
            scope["item"] = item
            if line.condition is not None and not _value(line.condition, scope, line.where):
                continue
            amount = _value(line.amount, scope, line.where)
            if type(amount) is not int:
                raise _not_whole(line, amount)
            if amount:
                yield amount * line.sign
        scope["item"] = None

    def _add(self, lines: list[Line], line: LineRule, scope: dict[str, Any], amount: int, day: date) -> None:
        """Appends the line, or the lines that it is split into. `day`: whose rates the posting takes."""
        where = line.where
        currency = self._facts.currency if line.currency is None else self._currency(line, scope)
        rate_on = None if line.rate_on is None else self._date(line.rate_on, "rate_on", scope)
        texts = (
            None if line.description is None else _text(line.description, scope, where)[:MAX_DESCRIPTION] or None,
            None if line.tax_code is None else _shortened(_text(line.tax_code, scope, where)) or None,
            tuple([(name, text) for name, each in line.dimensions if (text := _shortened(_text(each, scope, where)))]),
        )
        if not line.shares:
            in_parts = line.carried is not None or line.before is not None
            is_foreign = currency != self._functional
            carried = self._carried(line, scope, amount, rate_on, day) if in_parts and is_foreign else ()
            lines.append(Line(_account(line.account, scope, where), amount, currency, rate_on, *texts, carried))
            return
        for account, part in zip(line.shares, split(amount, line.weights), strict=True):
            if part:
                lines.append(Line(_account(account, scope, where), part, currency, rate_on, *texts))

    def _carried(
        self, line: LineRule, scope: dict[str, Any], amount: int, rate_on: date | None, day: date
    ) -> tuple[tuple[int, date], ...]:
        """What the line is in the books by, as amounts and days that sum to its amount. Of a part of what came in at one rate: the
        whole up to and with it, less the whole before, so that all parts sum to the whole in every currency."""
        found: list[tuple[int, date]] = []
        if line.carried is not None:
            parts = _value(line.carried, scope, line.where) or ()
            found = [(line.sign * each["amount"], as_date(each["on"]) or day) for each in parts]
        before = None if line.before is None else _value(line.before, scope, line.where)
        if before and rate_on is not None and not found:
            if type(before) is not int:
                raise _failed(line.where, "before does not give a whole number of minor units")
            return (amount + line.sign * before, rate_on), (-line.sign * before, rate_on)
        rest = amount - sum([part for part, _ in found])
        if not found or not rest:
            return tuple(found)
        return *found, (rest, rate_on or day)

    def _entry(
        self,
        name: str,
        dated: date,
        day: date,
        label: str | None,
        lines: list[Line],
        scope: dict[str, Any],
        exchange: Exchange,
    ) -> Iterator[MappedPosting]:
        posting, where = self._posting, self._posting.where
        mapped = completed(lines, exchange, self._side(scope), f"the posting {name} of the rule {self._rule.name}")
        if not mapped:
            return
        if any(abs(line.amount) > MAX_MINOR or abs(line.functional or 0) > MAX_MINOR for line in mapped):
            raise _failed(where, f"a line of the posting {name} is beyond {MAX_MINOR} minor units")
        description = _text(posting.description, scope, where) or name
        document_date = dated if label else None
        if posting.document_date is not None:
            document_date = as_date(_value(posting.document_date, scope, where))
        yield MappedPosting(
            name=name,
            rule=self._rule.name,
            policy=self._rule.policy,
            effective_date=day,
            document_date=document_date,
            description=(f"{description} ({label})" if label else description)[:MAX_DESCRIPTION],
            journal=posting.journal,
            reference=None if posting.reference is None else _shortened(_text(posting.reference, scope, where)) or None,
            lines=mapped,
            added=len(mapped) - len(lines),
            rated=_rated(lines, exchange, posting.rate_type),
        )

    def _side(self, scope: dict[str, Any]) -> Side:
        """The accounts of what the program adds: found only when it is needed."""
        rules = self._rules
        return lambda name: _account(getattr(rules, name), scope, self._posting.where)

    def _date(self, getter: Getter, stated: str, scope: dict[str, Any]) -> date:
        posting = self._posting
        try:
            day = as_date(getter(scope))
        except ExpressionFailed as error:
            raise _failed(posting.where, error) from None
        if day is None:
            message = f"the document has no {stated}, by which the posting {posting.name} of the rule {self._rule.name} is dated"
            raise NotMapped(UnmappedCode.MISSING_FIELD, message, _missing_hint(posting.where))
        return day

    def _currency(self, line: LineRule, scope: dict[str, Any]) -> str:
        assert line.currency is not None
        currency = _value(line.currency, scope, line.where)
        if currency not in EXPONENTS:
            raise _failed(line.where, "currency gives no code of ISO 4217")
        return str(currency)


def _spread(spread: Spread, amount: int, scope: dict[str, Any], where: str) -> Iterator[tuple[Month, int]]:
    """The amount by months: as many parts as the period has, in proportion to its days."""
    try:
        first, last = as_date(spread.first(scope)), as_date(spread.last(scope))
        if first is None or last is None:
            message = f"a line is spread over a period of which the document does not give both ends ({where})"
            raise NotMapped(UnmappedCode.MISSING_FIELD, message, _missing_hint(where))
        found = months(first, last)
    except (ExpressionFailed, ValueError) as error:
        raise _failed(where, error) from None
    for month, part in zip(found, split(amount, [month.days for month in found]), strict=True):
        if part:
            yield Month(month.label, month.end, 0), part


def _rated(lines: Iterable[Line], exchange: Exchange, kind: str) -> tuple[str, ...]:
    days = [_rated_line(line, exchange) for line in lines if line.currency != exchange.functional]
    return (kind, *days) if days else ()


def _rated_line(line: Line, exchange: Exchange) -> str:
    if not line.carried:
        return (line.rate_on or exchange.day).isoformat()
    return " ".join([f"{amount}@{day}" for amount, day in line.carried])


def _value(getter: Getter, scope: dict[str, Any], where: str) -> Any:
    try:
        return getter(scope)
    except ExpressionFailed as error:
        raise _failed(where, error) from None


def _text(getter: Getter, scope: dict[str, Any], where: str) -> str:
    try:
        return str(getter(scope))
    except ExpressionFailed as error:
        raise _failed(where, error) from None


def _account(account: Account, scope: dict[str, Any], where: str) -> str:
    if type(account) is str:
        return account
    try:
        return account(scope)  # type: ignore[operator]
    except ExpressionFailed as error:
        raise _failed(where, error) from None


def _shortened(text: str) -> str:
    """At most MAX_CODE characters; what is longer ends with digits of its hash, so that different texts stay different."""
    if len(text) <= MAX_CODE:
        return text
    return f"{text[: MAX_CODE - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


# ---------------------------------------------------------------- what goes wrong


def _failed(where: str, error: object) -> NotMapped:
    change = (
        f"put a rule of your own in place of the built-in one ({where})"
        if _is_built_in(where)
        else f"change the rule at {where}"
    )
    hint = f"Correct the document at its source, or {change}."
    return NotMapped(UnmappedCode.EXPRESSION_FAILED, f"{error} ({where})", hint)


def _not_whole(line: LineRule, amount: Any) -> NotMapped:
    if amount is None:
        message = f"the document has no {line.amount_text} ({line.where})"
        return NotMapped(UnmappedCode.MISSING_FIELD, message, _missing_hint(line.where))
    return _failed(line.where, f"{line.amount_text} does not give a whole number of minor units: use round(…)")


def _missing_hint(where: str) -> str:
    place = f"in a rule of your own, in place of the built-in one ({where})," if _is_built_in(where) else f"at {where}"
    return f"Complete the document at its source, or state {place} what to take where it is missing."


def _is_built_in(where: str) -> bool:
    return where.startswith(f"{STARTER_FILE}:")
