"""What the configuration says about one source, and which ledgers its documents belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sources.connectors.registry import KINDS
from sources.documents import BankStatement, Document

DEFAULT_MAX_AGE = 300.0
"""Seconds that a source's documents may be old when neither the query nor the configuration says otherwise."""

SHORTEST_PERIOD = 60.0
"""Seconds between two pulls by schedule, where no period is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One `[[sources]]` table. `ledger`: the code of the ledger that its documents belong to, which may not exist yet.
    `accounts`: bank account (IBAN or external id) or tenant id -> the code of another ledger. `max_age`: seconds.
    `every`: seconds between two pulls by schedule; None: see `period`. `webhook_secrets`: what its webhooks are signed with, a new
    one beside those that it replaces; none: it takes no webhooks.
    `post_from`: its documents dated before are never posted; None: none of them is.
    `options`: base_url, path and credentials, already resolved; never logged."""

    name: str
    kind: str
    ledger: str
    max_age: float = DEFAULT_MAX_AGE
    every: float | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    post_from: date | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    accounts: Mapping[str, str] = field(default_factory=dict)

    @property
    def gives(self) -> tuple[str, ...]:
        """The kinds of document that it gives: "invoice", "payment", "payroll_run" or "bank_statement"."""
        return KINDS[self.kind].gives

    @property
    def period(self) -> float:
        """Seconds between two pulls by schedule: as stated, else as old as its documents may be, and not under a minute."""
        return self.every if self.every is not None else max(self.max_age, SHORTEST_PERIOD)

    @property
    def home(self) -> str:
        """The ledger of documents that no bank account places elsewhere: `ledger`, or its tenant's override."""
        tenant = KINDS[self.kind].tenant
        return self.accounts.get(str(self.options.get(tenant)), self.ledger) if tenant else self.ledger

    @property
    def ledgers(self) -> frozenset[str]:
        """Codes of every ledger that documents of this source may belong to."""
        return frozenset((self.home, *(self.accounts.values() if "bank_statement" in self.gives else ())))

    @property
    def route(self) -> str:
        """Changes when documents may belong elsewhere, or come from elsewhere, than before: then a copy made under another
        route counts for nothing. Not by address or key: those change for one and the same account."""
        origin = {name: str(self.options[name]) for name in KINDS[self.kind].origin if name in self.options}
        return json.dumps([self.kind, self.ledger, sorted(self.accounts.items()), origin])

    @property
    def layout(self) -> str | None:
        """Changes when files that were read may state documents of other ids now; None: their ids are their own."""
        named = KINDS[self.kind].layout
        stated = {name: self.options[name] for name in named if name in self.options}
        return json.dumps(stated, sort_keys=True, default=str) if named else None

    def ledger_of(self, document: Document) -> str:
        """The code of the ledger that a document belongs to."""
        if not isinstance(document, BankStatement):
            return self.home
        return self.ledger_of_account(document.account.external_id, document.account.iban)

    def ledger_of_account(self, external_id: str, iban: str | None) -> str:
        """The code of the ledger that statements of a bank account belong to."""
        placed = {compact(name): code for name, code in self.accounts.items()}
        return placed.get(compact(external_id)) or placed.get(compact(iban or "")) or self.home


def compact(name: str) -> str:
    """People write an IBAN in groups of four."""
    return "".join(name.split()).upper()
