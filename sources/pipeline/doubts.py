"""Documents of a tie-out whose state takes a mapping to know: by the active rules, or by those that their entries follow as long as
they call for just these."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping as Versioned
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from typing import TYPE_CHECKING, Final

from sources.mapping.compiled import RuleSet
from sources.mapping.evaluate import map_document
from sources.mapping.facts import facts_of
from sources.mapping.model import Mapping, Unmapped
from sources.mapping.rates import Rates
from sources.pipeline import documents, planning, settling, taking
from sources.pipeline.documents import Document
from sources.pipeline.model import Key, Past, Terms
from sources.pipeline.recording import FAILED_CODE
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.tied import Report, Tied, TieState

if TYPE_CHECKING:
    from sources.database.pool import Connection

_PIECE: Final = 25
_log = logging.getLogger(__name__)


async def load(connection: Connection, report: Report, keys: Sequence[Key]) -> dict[Key, Document]:
    """Documents as they are now."""
    books = report.books
    return await documents.load(
        connection, books.ledger.ledger_id, keys, books.cutovers, books.now.astimezone(UTC).date()
    )


@dataclass(slots=True)
class _Doubt:
    """Documents that are mapped anew, with all that it takes. `undone`: entries of theirs that somebody reversed by hand."""

    tied: Sequence[Tied]
    found: dict[Key, Document]
    pasts: dict[Key, Past]
    rules: Versioned[int, RuleSet]
    undone: set[int]


async def map_anew(connection: Connection, report: Report, book: RuleBook, doubtful: Sequence[Tied]) -> None:
    """Says the state of each of these documents."""
    ledger_id = report.books.ledger.ledger_id
    keys = [tied.key for tied in doubtful if tied.key is not None]
    pasts = await taking.read_pasts(connection, ledger_id, keys)
    followed = {past.ruleset_version for past in pasts.values()} | {report.books.rules}
    rules = await book.versions(connection, ledger_id, [each for each in followed if each is not None])
    found = await load(connection, report, keys)
    doubt = _Doubt(doubtful, found, pasts, rules, await _undone(connection, ledger_id, doubtful))
    missed: set[tuple[str, date]] = set()
    while True:  # again while there are rates of days that rules compute
        currency = report.books.ledger.functional_currency
        rates = await taking.read_rates(connection, list(found.values()), currency, missed)
        await _compare_all(report, doubt, rates)
        if rates.missed <= missed:
            return
        missed |= rates.missed


async def _compare_all(report: Report, doubt: _Doubt, rates: Rates) -> None:
    for number, tied in enumerate(doubt.tied):
        assert tied.key is not None
        document, past = doubt.found[tied.key], doubt.pasts[tied.key]
        for version in dict.fromkeys((past.ruleset_version if past.live() else None, report.books.rules)):
            if version is None or version not in doubt.rules:
                continue
            try:
                mapping = _mapped(report, document, doubt.rules[version], rates)
            except Exception:
                _log.exception(
                    "the %s %s of %s could not be mapped", tied.key.kind, tied.key.external_id, tied.key.source
                )
                tied.say(TieState.DIFFERING if tied.sequences else TieState.MISSING, FAILED_CODE)
                continue
            _compare(report, tied, document, past, mapping, doubt.undone)
            if tied.state is TieState.MATCHED:
                break
        if number % _PIECE == _PIECE - 1:
            await asyncio.sleep(0)


def _mapped(report: Report, document: Document, rules: RuleSet, rates: Rates) -> Mapping:
    assert document.row is not None
    facts = facts_of(document.version.key.kind, document.row)
    return map_document(rules, facts, rates, report.books.ledger.functional_currency)


async def _undone(connection: Connection, ledger_id: int, doubtful: Sequence[Tied]) -> set[int]:
    """Entries of these documents that somebody reversed by hand, and that do not stand again."""
    sequences = [sequence for tied in doubtful for sequence in tied.sequences]
    _, reversals = await taking.read_standings(connection, ledger_id, [], sequences)
    return {sequence for sequence in sequences if settling.last_reversal(sequence, reversals)[1]}


def _compare(report: Report, tied: Tied, document: Document, past: Past, mapping: Mapping, undone: set[int]) -> None:
    live = {name: posting for name, posting in past.live().items() if posting.sequence not in undone}
    is_undone = len(live) < len(past.live())
    terms = Terms(report.books.ledger, 0, report.books.locked_through, report.books.cutovers)
    if isinstance(mapping, Unmapped):
        if planning.is_early(document.version, terms) and not live:
            return tied.say(None, None, {})
        return tied.say(TieState.DIFFERING if live else TieState.MISSING, mapping.code.value)
    wanted = planning.after_cutover(document.version, mapping, terms)
    called = _debits([(line.currency, line.amount) for mapped in wanted for line in mapped.lines])
    if planning.is_met(past, live, wanted):
        return tied.say(TieState.MATCHED if wanted else None, None, called)
    if not wanted:
        return tied.say(TieState.EXTRA, "NOT_CALLED_FOR", called)
    code = "REVERSED_BY_HAND" if is_undone else "OTHER_OUTCOME" if live else "NOT_POSTED"
    return tied.say(TieState.DIFFERING if live else TieState.MISSING, code, called)


def _debits(amounts: Sequence[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, amount in amounts:
        found[currency] = found.get(currency, 0) + max(amount, 0)
    return found
