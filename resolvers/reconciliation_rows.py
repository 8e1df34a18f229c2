"""Rows of a tie-out as a selection wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resolvers.documents import named_by
from sources.pipeline.control_accounts import BankTie, PartyTie, Subledger
from sources.pipeline.control_totals import Total
from sources.pipeline.model import Key
from sources.pipeline.tied import Tied
from sources.reading import Order, Row, Want

PLACES = Order("reconciliation", (("dated", "date"), ("kind", "text"), ("account", "text"), ("external_id", "text")))


def document_rows(want: Want, ledger_id: int, tied: Sequence[Tied]) -> list[Row]:
    inner = want.nested.get("amounts", Want())
    return [want.row({**_document(ledger_id, each), "amounts": amount_rows(inner, each)}) for each in tied]


def _document(ledger_id: int, tied: Tied) -> dict[str, Any]:
    assert tied.state is not None
    return {
        **named_by(tied.key, ledger_id),
        "state": tied.state.value,
        "code": tied.code,
        "dated": tied.dated.isoformat(),
        "currency": tied.currency,
        "stated": tied.stated,
        "sequences": tied.sequences,
    }


def amount_rows(want: Want, tied: Tied) -> list[Row]:
    called: Mapping[str, int] = tied.called or {}
    return [
        want.row(
            {
                "currency": currency,
                "called": None if tied.called is None else called.get(currency, 0),
                "posted": tied.posted.get(currency, 0),
            }
        )
        for currency in sorted({*called, *tied.posted})
    ]


def total_rows(want: Want, totals: Sequence[Total]) -> list[Row]:
    inner = want.nested.get("states", Want())
    rows = []
    for total in totals:
        states = [
            inner.row(
                {"state": state.value, "documents": found.documents, "stated": found.stated, "currency": total.currency}
            )
            for state, found in sorted(total.states.items())
        ]
        values = {
            "kind": total.kind and total.kind.upper(),
            **{name: getattr(total, name) for name in ("direction", "currency", "documents", "stated", "nothing")},
            "called": total.called,
            "posted": total.posted,
            "difference": total.difference,
            "states": states,
        }
        rows.append(want.row(values))
    return rows


def subledger_rows(want: Want, subledgers: Sequence[Subledger]) -> list[Row]:
    sums, parties = want.nested.get("totals", Want()), want.nested.get("parties", Want())
    return [
        want.row(
            {
                "direction": each.direction,
                "codes": list(each.codes),
                "differing": each.differing,
                "totals": [sums.row(_party(tie)) for tie in each.totals],
                "parties": [parties.row(_party(tie)) for tie in each.parties],
            }
        )
        for each in subledgers
    ]


def _party(tie: PartyTie) -> dict[str, Any]:
    stated = {name: getattr(tie, name) for name in PartyTie.__slots__}
    return {**stated, "difference": tie.balance - tie.open}


def bank_rows(want: Want, ledger_id: int, source: str, banks: Sequence[BankTie]) -> list[Row]:
    return [want.row(_bank(want, ledger_id, source, each)) for each in banks]


def _bank(want: Want, ledger_id: int, source: str, tie: BankTie) -> dict[str, Any]:
    difference = None if tie.balance is None else tie.closing - tie.balance
    explained = tie.transactions.amount - tie.lines.amount
    sides = {"ledger_id": ledger_id, "currency": tie.currency}
    transactions, lines = want.nested.get("transactions", Want()), want.nested.get("lines", Want())
    return {
        **{
            name: getattr(tie, name)
            for name in ("account", "name", "currency", "statement", "closing", "code", "balance")
        },
        "ends_on": tie.ends_on.isoformat(),
        "difference": difference,
        "unexplained": None if difference is None else difference - explained,
        "transaction_count": tie.transactions.count,
        "transactions": [
            transactions.row(
                {
                    **sides,
                    **named_by(Key(source, "bank_transaction", tie.account, row["external_id"]), ledger_id),
                    "dated": row["dated"].isoformat(),
                    "amount": row["amount"],
                }
            )
            for row in tie.transactions.rows
        ],
        "line_count": tie.lines.count,
        "lines": [
            lines.row(
                {**sides, "sequence": row["sequence"], "dated": row["dated"].isoformat(), "amount": row["amount"]}
            )
            for row in tie.lines.rows
        ],
    }
