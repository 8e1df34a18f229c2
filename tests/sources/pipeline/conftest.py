"""The mirror's fixtures: a database with the ledgers acme-us and acme-eu, and refreshers over it."""

from __future__ import annotations

from tests.sources.mirror.conftest import create_ledger, db, kit, ledgers, owner, pull, refresher

__all__ = ["create_ledger", "db", "kit", "ledgers", "owner", "pull", "refresher"]
