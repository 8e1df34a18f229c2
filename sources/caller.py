"""The authenticated principal of an operation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """`ledgers`: codes that the token names, None: every ledger. `expires_at`: seconds since the epoch, UTC."""

    subject: str
    scopes: frozenset[str]
    ledgers: frozenset[str] | None
    expires_at: float

    def may_see(self, ledger_code: str) -> bool:
        return self.ledgers is None or ledger_code in self.ledgers
