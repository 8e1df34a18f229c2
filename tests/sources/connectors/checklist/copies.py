"""What somebody who stores a connector's pages holds: the rules of `sources.mirror`, without a database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sources.documents import Connector, Document, Problem
from sources.errors import SourceUnavailable
from tests.sources.connectors.checklist.subjects import Key, amount, key_of

PATIENCE = 30.0
"""Seconds after which a pull hangs."""


@dataclass
class Outcome:
    """`error` None: the pull came to its end."""

    error: str | None = None
    pages: int = 0
    seen: dict[Key, Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    deleted: set[Key] = field(default_factory=set)


@dataclass
class Copy:
    """`held`: documents by kind and id; `cursor`: behind the last page that was stored."""

    held: dict[Key, Document] = field(default_factory=dict)
    cursor: str | None = None

    @property
    def amounts(self) -> dict[Key, int]:
        return {key: amount(document) for key, document in self.held.items()}

    async def pull(self, connector: Connector) -> Outcome:
        """Stores every page as it comes. Whatever the connector raises but SourceUnavailable, and a pull that does not end, is
        raised."""
        outcome, complete = Outcome(), False
        try:
            async with asyncio.timeout(PATIENCE):
                async for page in connector.pull(self.cursor):
                    assert not complete, "a page behind the last one"
                    complete = page.complete
                    outcome.pages += 1
                    if page.afresh:
                        self.held.clear()
                    self._store(page.documents, outcome)
                    gone = {(each.kind, each.external_id) for each in page.deletions}
                    outcome.deleted |= {key for key in gone if self.held.pop(key, None) is not None}
                    outcome.problems += page.problems
                    self.cursor = page.cursor
            assert complete, "the pull ended without a last page"
        except SourceUnavailable as error:
            outcome.error = str(error)
            assert outcome.error.strip()
        for problem in outcome.problems:
            assert problem.subject.strip(), problem
            assert problem.code.isupper(), problem
            assert problem.message.strip(), problem
        if complete and getattr(connector, "lists_everything", False) and not outcome.problems:
            # As the mirror does: what could not be read may be what is missing.
            missing = self.held.keys() - outcome.seen.keys()
            outcome.deleted |= missing
            for key in missing:
                del self.held[key]
        return outcome

    def _store(self, documents: object, outcome: Outcome) -> None:
        for document in documents:  # type: ignore[attr-defined]
            self.held[key_of(document)] = outcome.seen[key_of(document)] = document
