"""The versions of each ledger's mapping rules as they are stored. A version never changes, and keeps its number; one at most is
active: the one that documents are mapped by from now on. What was posted by others stays.

Every function runs within the caller's transaction, on a connection that sees the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sources.errors import InvalidArgument, NotFound
from sources.mapping.starter import starter_of
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

LONGEST_TEXT: Final = 1_000_000
"""Characters of a rule file."""
LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class RuleSetInfo:
    """A stored version without its text. `digest`: SHA-256 of the text, and of the built-in rules that it extends."""

    version: int
    name: str
    digest: bytes
    created_at: datetime
    created_by: str
    active: bool


@dataclass(frozen=True, slots=True)
class StoredRuleSet:
    """A stored version: its text as it was given. `starter`: the built-in rules that it extends, as they were then; None: it extends
    none, or they were not kept."""

    version: int
    name: str
    text: str
    active: bool
    starter: str | None = None


async def save(connection: Connection, ledger_id: int, *, text: str, name: str, created_by: str) -> RuleSetInfo:
    """Stores rules under the ledger's next number, not active; a text that is stored already keeps the number and name that it
    has, unless the built-in rules that it extends have changed since. The caller has checked that it can be read as rules. Raises InvalidArgument for a text or name out of bounds."""
    _check(text, name)
    # One after the other, so that numbers have no gaps.
    await connection.execute(_LOCK, str(ledger_id))
    starter = starter_of(text)
    digest = hashlib.sha256(text.encode() + (b"\0" + starter.encode() if starter else b"")).digest()
    await connection.execute(_SAVE, ledger_id, name, text, digest, created_by, starter)
    row = await connection.fetchrow(f"{_INFO} AND digest = $2", ledger_id, digest)
    assert row is not None
    return RuleSetInfo(*row)


async def activate(connection: Connection, ledger_id: int, version: int) -> RuleSetInfo:
    """Makes a version the ledger's active one in place of another. Raises NotFound."""
    await connection.execute(_LOCK, str(ledger_id))
    row = await connection.fetchrow(f"{_INFO} AND version = $2", ledger_id, version)
    if row is None:
        raise NotFound(f"there is no version {version} of the ledger's rules")
    if not row["active"]:
        await connection.execute(_DEACTIVATE, ledger_id)
        await connection.execute(_ACTIVATE, ledger_id, version)
    return replace(RuleSetInfo(*row), active=True)


async def tell(connection: Connection, ledger_id: int, version: int) -> bool:
    """Whether the caller is the first to hear that this version became active. Others wait until its transaction has ended."""
    return bool(await connection.fetchval(_TELL, ledger_id, version))


async def listed(connection: Connection, ledger_id: int) -> list[RuleSetInfo]:
    """Every version, the newest first."""
    return [RuleSetInfo(*row) for row in await connection.fetch(f"{_INFO} ORDER BY version DESC", ledger_id)]


async def active(connection: Connection, ledger_id: int) -> StoredRuleSet | None:
    """The active version; None: there is none."""
    row = await connection.fetchrow(f"{_STORED} AND active", ledger_id)
    return None if row is None else StoredRuleSet(*row)


async def read(connection: Connection, ledger_id: int, version: int) -> StoredRuleSet:
    """One version. Raises NotFound."""
    row = await connection.fetchrow(f"{_STORED} AND version = $2", ledger_id, version)
    if row is None:
        raise NotFound(f"there is no version {version} of the ledger's rules")
    return StoredRuleSet(*row)


async def missing_accounts(connection: Connection, ledger_id: int, codes: Iterable[str]) -> set[str]:
    """Those of the codes that no active account of the ledger has."""
    asked = sorted(set(codes))
    return set(asked) - {row[0] for row in await connection.fetch(_ACTIVE_ACCOUNTS, ledger_id, asked)}


def _check(text: str, name: str) -> None:
    if not 0 < len(text) <= LONGEST_TEXT:
        raise InvalidArgument(f"rules must have between 1 and {LONGEST_TEXT:,} characters, not {len(text):,}")
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidArgument(f"the name of rules must have between 1 and {LONGEST_NAME} characters")
    if clean(text) != text or clean(name) != name:
        raise InvalidArgument("rules and their name must be text without NUL and lone surrogates")


_ACTIVE_ACCOUNTS = "SELECT code FROM ledger.account WHERE ledger_id = $1 AND code = ANY ($2::text[]) AND active"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('ledgergraph rules ' || $1, 0))"
_INFO = "SELECT version, name, digest, created_at, created_by, active FROM mapping.ruleset WHERE ledger_id = $1"
_STORED = "SELECT version, name, text, active, starter FROM mapping.ruleset WHERE ledger_id = $1"
_SAVE = """
INSERT INTO mapping.ruleset (ledger_id, version, name, text, digest, created_at, created_by, starter)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, clock_timestamp(), $5, $6 FROM mapping.ruleset WHERE ledger_id = $1
ON CONFLICT (ledger_id, digest) DO NOTHING"""
# Two statements: in one, the new row could meet the old one in the index of active rules.
_DEACTIVATE = "UPDATE mapping.ruleset SET active = false WHERE ledger_id = $1 AND active"
_ACTIVATE = "UPDATE mapping.ruleset SET active = true, told = false WHERE ledger_id = $1 AND version = $2"
_TELL = """
UPDATE mapping.ruleset SET told = true WHERE ledger_id = $1 AND version = $2 AND active AND NOT told RETURNING true"""
