"""How fresh the mirror's copy of a source is, what state the source is in, and the sentences that say so. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sources.caller import Caller
from sources.errors import NotFound, SourceSyncing, SourceUnavailable
from sources.mirror.settings import SourceSettings


class SourceStatus(StrEnum):
    """OK: a copy is held and the last pull read everything. SYNCING: it is being read for the first time. DEGRADED: a copy
    is held, but the last pull failed or left problems open. DOWN: no copy is held."""

    OK = "OK"
    SYNCING = "SYNCING"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


@dataclass(slots=True)
class Asking:
    """What one operation asked of its sources; all of its fields share it. `caller` None: nobody outside. `at`: when it
    first asked, by the event loop's clock, so that one pull answers them all; None: not yet. `payslips`: by source, of how many payroll runs."""

    caller: Caller | None = None
    at: float | None = None
    payslips: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the held documents of one source are: they are as the source stated them at `as_of` or later. `stale`: older
    than asked for; `error` says why. `failure`: no copy is held, so whatever needs this source fails with it. `asked_at`: when
    it was asked for or later, by the database's clock."""

    source: str
    as_of: datetime | None
    stale: bool
    error: str | None
    failure: SourceUnavailable | None = None
    asked_at: datetime | None = None

    def judged(self, max_age: float) -> Freshness:
        """The same by another measure: `max_age` seconds."""
        if self.as_of is None or self.asked_at is None:
            return self
        stale = self.as_of < self.asked_at - timedelta(seconds=max_age)
        error = self.error or f"{self.source} could not be read anew in time for this answer."
        return replace(self, stale=stale, error=error if stale else None)

    def merged(self, other: Freshness | None) -> Freshness:
        """One answer for two fields of an operation: the newer copy, with what was wrong with either at that age."""
        if other is None or (self.as_of is not None and (other.as_of is None or other.as_of < self.as_of)):
            return self
        if self.as_of != other.as_of:
            return other
        return self if self.stale else other


@dataclass(frozen=True, slots=True)
class Held:
    """What the database knows of one source. Times are the database's; `as_of` is None unless a whole copy is held that was
    read under the present settings."""

    as_of: datetime | None = None
    last_success_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_error: str | None = None
    problems: int = 0


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a pull. error None: the copy is as of `as_of`; else `as_of` is that of the copy held before, if any."""

    as_of: datetime | None
    error: str | None


def fresh(source: str, as_of: datetime) -> Freshness:
    return Freshness(source, as_of, stale=False, error=None)


def after_pull(source: str, pulled: Pulled) -> Freshness:
    """The answer once a pull has ended."""
    if pulled.error is None and pulled.as_of is not None:
        return fresh(source, pulled.as_of)
    message = f"{source} could not be read: {pulled.error}"
    if pulled.as_of is not None:
        return Freshness(source, pulled.as_of, stale=True, error=message)
    return unavailable(source, SourceUnavailable(message))


def at_deadline(source: str, as_of: datetime | None, seconds: float) -> Freshness:
    """The answer while a pull still goes on."""
    if as_of is not None:
        message = f"{source} did not answer within {seconds:g} s; a newer copy may be there in a moment."
        return Freshness(source, as_of, stale=True, error=message)
    return unavailable(source, SourceSyncing(f"{source} is being read for the first time; try again in a moment."))


def unavailable(source: str, failure: SourceUnavailable) -> Freshness:
    return Freshness(source, None, stale=True, error=str(failure), failure=failure)


def missing_ledger(settings: SourceSettings, known: Container[str], caller: Caller | None = None) -> str | None:
    """Why a source cannot be read as long as a ledger that it feeds does not exist; None: all of them do. A ledger outside
    the caller's claim (None: nobody outside) is not named."""
    missing = sorted(code for code in settings.ledgers if code not in known)
    if not missing:
        return None
    named = next((code for code in missing if caller is None or caller.may_see(code)), None)
    if named is None:
        return f"{settings.name} also feeds a ledger that does not exist yet: ask an administrator to create it."
    return f"{settings.name} feeds the ledger {named}, which does not exist yet: create it, by createLedger or `ledgergraph import`."


def status(held: Held, *, missing: str | None, reading: bool) -> tuple[SourceStatus, str | None]:
    """The state of a source, and the sentence that explains it. `reading`: a pull goes on."""
    if missing is not None:
        return SourceStatus.DOWN, missing
    if held.as_of is None:
        if reading:
            return SourceStatus.SYNCING, held.last_error
        return SourceStatus.DOWN, held.last_error or "It was not read yet."
    if held.last_error is not None:
        return SourceStatus.DEGRADED, held.last_error
    if held.problems:
        return SourceStatus.DEGRADED, f"{held.problems} of its files or records could not be read; the others were."
    return SourceStatus.OK, None


def visible_to(caller: Caller, settings: SourceSettings) -> bool:
    """Whether any ledger that a source feeds is within the caller's claims."""
    return any(caller.may_see(code) for code in settings.ledgers)


def relevant(
    configured: Iterable[SourceSettings],
    caller: Caller,
    gives: str,
    *,
    ledgers: Iterable[str] | None = None,
    names: Iterable[str] | None = None,
) -> list[SourceSettings]:
    """The sources that an answer needs: those that give this kind of document to a ledger that the caller sees and asks for.
    Raises NotFound for a named source that does not exist, or that feeds no ledger of the caller's."""
    seen = {settings.name: settings for settings in configured if visible_to(caller, settings)}
    for name in names or ():
        if name not in seen:
            raise NotFound(f"There is no source {name[:80]}; the field sources lists them.")
    asked = None if ledgers is None else set(ledgers)
    named = None if names is None else set(names)
    return [
        settings
        for settings in seen.values()
        if gives in settings.gives
        and (named is None or settings.name in named)
        and any(caller.may_see(code) and (asked is None or code in asked) for code in settings.ledgers)
    ]
