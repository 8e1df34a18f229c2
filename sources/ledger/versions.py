"""What a ledger's books, chart and names are at a moment, in a few numbers: kept texts are right for as long as these stay.

Whoever asks at the same moment shares one statement, which begins after all of them asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sources.database.pool import Database
from sources.gathering import Gathering

Fetch = Callable[..., Awaitable[Sequence[Any]]]

_READ = """SELECT h.last_sequence, h.last_hash, l.names_version,
    (SELECT e.hash FROM ledger.entry e WHERE e.ledger_id = $1 AND e.sequence = $2)
FROM ledger.head h JOIN ledger.ledger l ON l.ledger_id = h.ledger_id WHERE h.ledger_id = $1"""


@dataclass(frozen=True, slots=True)
class Version:
    """`last_sequence` and `last_hash`: of the newest entry. `names_version` changes with the chart and every name. `era`: a
    number of this process for one history of entries, 0 where it cannot tell. A database that is restored and posted to anew
    has another history."""

    last_sequence: int
    last_hash: bytes
    names_version: int
    era: int


@dataclass(frozen=True, slots=True)
class _Known:
    """An entry of a history: as long as it is there, all before it are the same (each hash covers the one before)."""

    sequence: int
    hash: bytes
    era: int


_NOTHING = _Known(0, b"", 0)


class Versions:
    """The versions of ledgers, as one process sees them. `together`: how many ledgers are asked for at once."""

    def __init__(self, database: Database, together: int) -> None:
        self._database = database
        self._gathering = Gathering(together)
        self._known: dict[int, _Known] = {}
        self._eras = itertools.count(1)

    async def now(self, visible: Iterable[int] | None, ledger_id: int) -> Version | None:
        """Of a moment after the call. `visible`: the ledgers that the caller may see, None for all; the result is None for a
        ledger that is not among them, or not there. Raises as `Database.read`."""
        claim = None if visible is None else tuple(visible)

        async def read(ledger_ids: Sequence[int]) -> Mapping[int, tuple[Version | None]]:
            reading = await self._database.read(claim, alone=True)
            failed: BaseException | None = None
            try:
                return {each: (await self.seen(reading.fetch, each),) for each in ledger_ids}
            except BaseException as error:
                failed = error
                raise
            finally:
                await reading.end(failed)

        return (await self._gathering.ask(claim, ledger_id, read))[0]

    async def seen(self, fetch: Fetch, ledger_id: int, *, fresh: bool = True) -> Version | None:
        """In the snapshot of `fetch`; `fresh`: it begins with this statement. An older one may lack what is known since."""
        known = self._known.get(ledger_id, _NOTHING)
        rows = await fetch(_READ, ledger_id, known.sequence)
        if not rows:
            return None
        sequence, last_hash, names_version, hash_then = rows[0]
        if not fresh and sequence < known.sequence:
            return Version(sequence, last_hash, names_version, 0)
        same = known.sequence == 0 or (sequence >= known.sequence and hash_then == known.hash)
        era = known.era if same and known.era else next(self._eras)
        newest = self._known.get(ledger_id, _NOTHING)
        if newest.era == known.era and (not same or sequence >= newest.sequence):
            self._known[ledger_id] = _Known(sequence, last_hash, era)
        return Version(sequence, last_hash, names_version, era)
