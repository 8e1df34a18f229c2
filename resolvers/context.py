"""One operation's context: its caller, its snapshot, and the services of the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sources.caller import Caller
from sources.database.pool import Database, Reading
from sources.errors import NotFound
from sources.ledger.directory import Directory
from sources.ledger.model import LedgerRef
from sources.ledger.posting import Poster
from sources.ledger.versions import Version, Versions
from sources.mirror.freshness import Freshness
from sources.mirror.refresh import Asking, Refresher
from sources.pipeline.finished import FinishedReports
from sources.pipeline.rulebook import RuleBook, RuleLoader


@dataclass(frozen=True, slots=True)
class Services:
    """What one process offers to its operations. `reading_group`: how many requests that are alike are read together.
    `wake_pipeline`: there may be documents to post. `ruled_by_files`: codes of ledgers whose rules are those of a file.
    `rules`: reads rules that callers give; `book`: has those that are stored. `reports`: tie-outs for the pages that follow the first."""

    database: Database
    directory: Directory
    poster: Poster
    refresher: Refresher
    page_size: int = 1_000
    reading_group: int = 100
    clock: Callable[[], float] = time.time
    wake_pipeline: Callable[[], None] = lambda: None
    ruled_by_files: frozenset[str] = frozenset()
    rules: RuleLoader = field(default_factory=RuleLoader)
    book: RuleBook = field(default_factory=RuleBook)
    reports: FinishedReports = field(default_factory=FinishedReports)
    versions: Versions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", Versions(self.database, self.reading_group))


class Snapshot(Protocol):
    """What an operation's statements run on."""

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]: ...


class SecondStatement(Exception):
    """An operation that was to have one statement alone has another one: it needs a snapshot."""


class Context:
    """A `sources.reading.Reader` with services beside it. The snapshot opens at the first statement, after refreshes, unless
    one is lent that is already open and sees the caller's ledgers alone. `alone`: there will be one statement, which is its
    own snapshot; another one raises SecondStatement."""

    def __init__(
        self, services: Services, caller: Caller, snapshot: Snapshot | None = None, *, alone: bool = False
    ) -> None:
        self.services = services
        self.caller = caller
        self.page_size = services.page_size
        self.freshness: dict[str, Freshness] = {}
        self.asking = Asking(caller)
        self.snapshot = snapshot
        self.statements = 0
        self._alone = alone
        self._own: Reading | None = None
        self._versions: dict[int, Version | None] = {}

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        if self._alone and self.statements:
            raise SecondStatement
        if self.snapshot is None:
            self.snapshot = self._own = await self.services.database.read(await self.visible(), alone=self._alone)
        self.statements += 1
        return await self.snapshot.fetch(sql, *args)

    async def visible(self) -> list[int] | None:
        """The ids of the ledgers that the caller may see; None: all."""
        return None if self.caller.ledgers is None else [ref.ledger_id for ref in await self.ledgers(None)]

    async def ledger(self, code: str) -> LedgerRef:
        found = await self.ledgers([code])
        if not found:
            raise NotFound(f"there is no ledger {code!r} that your token can see")
        return found[0]

    async def ledgers(self, codes: Iterable[str] | None) -> list[LedgerRef]:
        claimed = self.caller.ledgers
        if codes is None and claimed is None:
            found: Iterable[LedgerRef] = await self.services.directory.all()
        else:
            wanted = [code for code in (claimed if codes is None else codes) or () if self.caller.may_see(code)]
            found = (await self.services.directory.resolve(wanted)).values()
        return sorted(found, key=lambda ref: ref.code)

    async def version(self, ledger_id: int) -> Version | None:
        """What the ledger's books, chart and names are in this snapshot; None: it does not see the ledger."""
        if ledger_id not in self._versions:
            self._versions[ledger_id] = await self._version(ledger_id)
        return self._versions[ledger_id]

    async def _version(self, ledger_id: int) -> Version | None:
        versions = self.services.versions
        if not self._alone:
            return await versions.seen(self.fetch, ledger_id, fresh=self.statements == 0)
        if self.statements:
            raise SecondStatement
        self.statements += 1
        return await versions.now(await self.visible(), ledger_id)

    def code(self, ledger_id: int) -> str:
        return self.services.directory.codes[ledger_id]

    async def end_snapshot(self, failed: BaseException | None = None) -> None:
        """Releases the connection; a later statement opens a new snapshot (mutations: one for each field)."""
        own, self.snapshot, self._own = self._own, None, None
        self._versions.clear()
        if own is not None:
            await own.end(failed)

    async def __aenter__(self) -> Context:
        return self

    async def __aexit__(self, _kind: object, failed: BaseException | None, _trace: object) -> None:
        await self.end_snapshot(failed)
