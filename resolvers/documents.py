"""What every document of a source system has in common."""

from __future__ import annotations

from enum import Enum

import strawberry

from resolvers.fields import link, text, timestamp
from resolvers.ledgers import Ledger
from resolvers.scalars import DateTime
from resolvers.sources import Source, source_by_name
from sources.ledger import queries


@strawberry.enum(description="The kinds of document that become entries.")
class DocumentKind(Enum):
    INVOICE = strawberry.enum_value("INVOICE", description="An invoice, bill or credit note.")
    PAYMENT = strawberry.enum_value("PAYMENT", description="A movement at a payment processor.")
    PAYROLL_RUN = strawberry.enum_value("PAYROLL_RUN", description="A payroll run.")
    BANK_TRANSACTION = strawberry.enum_value("BANK_TRANSACTION", description="A movement of a bank account.")


@strawberry.interface(
    description="What a source system states: an invoice, a payment, a payroll run, a bank transaction."
)
class Document:
    """Its implementations have the columns ledger_id, source, external_id and fetched_at, and say their own `id`."""

    id: strawberry.ID = text("Readable and stable.", "external_id")
    ledger: Ledger = link("The ledger that it belongs to.", queries.ledger_by_id, ("ledger_id",))
    source: Source = link("The system that states it.", source_by_name, ("source",))
    external_id: str = text("Its id in the source.", "external_id")
    fetched_at: DateTime = timestamp("When the source last confirmed it.", "fetched_at")
