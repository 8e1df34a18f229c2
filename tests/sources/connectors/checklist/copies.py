"""What somebody who stores a connector's pages holds: the rules of `sources.mirror`, without a database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sources.documents import Connector, Document, Page, Problem
from sources.errors import SourceUnavailable
from tests.sources.connectors.checklist.subjects import Key, amount, key_of


def _cause(problem: Problem) -> tuple[str, str]:
    return problem.code, problem.subject


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
    """`held`: documents by kind and id; `cursor`: behind the last page that was stored; `open`: problems, until what they are about is
    read, or asked for again without one."""

    held: dict[Key, Document] = field(default_factory=dict)
    cursor: str | None = None
    open: dict[tuple[str, str], Problem] = field(default_factory=dict)

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
                    if page.afresh:
                        self.held.clear()
                    self._take(page, outcome)
            assert complete, "the pull ended without a last page"
            await self._read_again(connector, outcome)
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
            self.open = {cause: self.open[cause] for cause in map(_cause, outcome.problems) if cause in self.open}
        return outcome

    def _take(self, page: Page, outcome: Outcome) -> None:
        outcome.pages += 1
        self._store(page.documents, outcome)
        outcome.unread |= set(page.unread)
        gone = {(each.kind, each.external_id) for each in page.deletions}
        outcome.deleted |= {key for key in gone if self.held.pop(key, None) is not None}
        outcome.problems += page.problems
        settled = {each.external_id for each in [*page.documents, *page.deletions]}
        self.open |= {_cause(each): each for each in page.problems}
        for cause in [each for each in self.open if settled & set(each[1].split())]:
            if cause not in map(_cause, outcome.problems):
                del self.open[cause]
        self.cursor = page.cursor

    async def _read_again(self, connector: Connector, outcome: Outcome) -> None:
        """All that can be asked for again, without the pauses of the mirror. It is put off where the source fails at it."""
        noted = set(map(_cause, outcome.problems))
        wanted = [each for cause, each in self.open.items() if each.again and cause not in noted]
        read = getattr(connector, "read_again", None)
        if read is None or getattr(connector, "lists_everything", False) or not wanted:
            return
        try:
            page = await read(self.cursor, wanted)
        except SourceUnavailable:
            return
        self._take(page, outcome)
        for cause in set(map(_cause, wanted)) - set(map(_cause, page.problems)):
            self.open.pop(cause, None)

    def _store(self, documents: object, outcome: Outcome) -> None:
        for document in documents:  # type: ignore[attr-defined]
            self.held[key_of(document)] = outcome.seen[key_of(document)] = document
