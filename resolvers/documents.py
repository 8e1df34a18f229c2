"""What every document of a source system has in common."""

from __future__ import annotations

from enum import Enum
from typing import Any

import strawberry

from resolvers.fields import link, text, timestamp, written
from resolvers.ledgers import Ledger
from resolvers.scalars import DateTime
from resolvers.sources import Source, source_by_name
from sources.ledger import queries
from sources.pipeline.model import Key


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


def document_id(description: str) -> Any:
    """The id of a document, for node, from the columns document_kind, ledger_id and document_rest; null where the first is."""
    needs = ("document_kind", "ledger_id", "document_rest")
    return written(description, needs, "quote({0} + ':' + codes[{1}] + ':' + {2})")


def named_by(key: Key | None, ledger_id: int) -> dict[str, Any]:
    """What `document_id` needs, and `kind` for a DocumentKind. As `sources.mirror.logbook.document_id`, of a key at hand."""
    if key is None:
        return {"kind": None, "document_kind": None, "document_rest": None, "ledger_id": ledger_id}
    account = f"{key.account.replace('%', '%25').replace(':', '%3A')}:" if key.kind == "bank_transaction" else ""
    return {
        "kind": key.kind.upper(),
        "document_kind": key.kind.replace("_", "-"),
        "document_rest": f"{key.source}:{account}{key.external_id}",
        "ledger_id": ledger_id,
    }
