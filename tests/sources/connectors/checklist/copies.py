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
    unread: set[Key] = field(default_factory=set)


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
                    outcome.unread |= set(page.unread)
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
        if complete and getattr(connector, "lists_everything", False):
            # As the mirror does: what is listed and was not read is not gone, and where it does not say which it is, nothing is.
            blind = {kind for kind, external_id in outcome.unread if not external_id}
            missing = {key for key in self.held.keys() - outcome.seen.keys() - outcome.unread if key[0] not in blind}
            outcome.deleted |= missing
            for key in missing:
                del self.held[key]
        return outcome

    def _store(self, documents: object, outcome: Outcome) -> None:
        for document in documents:  # type: ignore[attr-defined]
            self.held[key_of(document)] = outcome.seen[key_of(document)] = document
