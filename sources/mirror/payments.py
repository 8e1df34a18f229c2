"""Payments: by list and by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sources.mirror.queries import Args, Within, add_dates, by_id, columns, state_of
from sources.reading import Key, Order, Reader, Results, Row, View, Want, page


def _party(want: Want, stored: str) -> Row:
    return want.row(orjson.loads(stored))


PAYMENT = View(
    "mirror.payment p",
    columns(
        "p",
        "ledger_id source external_id type status source_status currency amount fee net presented_amount presented_currency "
        "occurred_on available_on invoice_external_id payout_external_id parent_external_id description reference bank_account",
    )
    | {
        "party": "CASE WHEN p.party_name IS NOT NULL THEN jsonb_build_object('party_name', p.party_name, "
        "'party_external_id', p.party_external_id, 'party_tax_id', p.party_tax_id) END",
        "fetched_at": "greatest(p.changed_at, state.as_of)",
    },
    joins=state_of("p"),
    decoders={"party": _party},
)

PAYMENTS_BY_DATE = Order(
    "payments",
    (("occurred_on", "date"), ("ledger_id", "bigint"), ("source", "text"), ("external_id", "text")),
    descending=True,
)

_EQUAL = {"invoice": "invoice_external_id", "payout": "payout_external_id"}
_AMONG = {"types": "type", "statuses": "status"}


async def payments(reader: Reader, within: Within, want: Want, args: Args) -> dict[str, Any]:
    """Newest first."""
    filter_ = args.get("filter") or {}
    where = within.conditions("p")
    for name, column in _AMONG.items():
        if filter_.get(name) is not None:
            where.add(f"p.{column} = ANY({{0}})", [str(getattr(value, "value", value)) for value in filter_[name]])
    for name, column in _EQUAL.items():
        if filter_.get(name) is not None:
            where.add(f"p.{column} = {{0}}", filter_[name])
    add_dates(where, "p.occurred_on", filter_.get("occurredFrom"), filter_.get("occurredTo"))
    return await page(reader, PAYMENT, where, PAYMENTS_BY_DATE, want, args)


async def payment_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, external id)."""
    return await by_id(reader, PAYMENT, "p", keys, want)
