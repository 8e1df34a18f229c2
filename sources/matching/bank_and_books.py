"""What the graph reads of the bank beside the books: what is at one of them alone, as both are stored now. See `sources.reading`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sources.reading import Key, Reader, Row, Want

Args = Mapping[str, Any]
MOST_SHOWN: Final = 1_000


async def bank_and_books(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> dict[str, Any]:
    """By name: what is at the bank and not explained in the books, and what is in the books and not at the bank; the first of each."""
    ledger_id = (await reader.ledger(args["ledger"])).ledger_id
    values: dict[str, Any] = {"ledger_id": ledger_id}
    for name, where in _KINDS.items():
        if f"{name}_totals" in want.columns:
            rows = await reader.fetch(_TOTALS.format(where), ledger_id)
            values[f"{name}_totals"] = _rows(want.nested[f"{name}_totals"], ("currency", "count", "amount"), rows)
        if name in want.columns:
            rows = await reader.fetch(_FIRST.format(where), ledger_id)
            values[name] = _rows(want.nested[name], _FIRST_NAMES, rows)
    return values


def _rows(want: Want, names: Sequence[str], rows: Iterable[Any]) -> list[Row]:
    return [want.row(dict(zip(names, row, strict=True))) for row in rows]


# A document from before the cut-over may be matched, and no entry of it is in the books.
_IN_BOOKS: Final = """EXISTS (
    SELECT FROM pipeline.posting p WHERE p.ledger_id = i.ledger_id AND p.source = i.source AND p.kind = i.kind AND p.account = i.account
        AND p.external_id = i.external_id AND p.status = 'POSTED')"""
_KINDS: Final = {
    "bank_only": "i.kind = 'bank_transaction'",
    "payouts": f"i.kind = 'payment' AND {_IN_BOOKS}",
    "payroll_runs": f"i.kind = 'payroll_run' AND {_IN_BOOKS}",
    "paid_without_money": f"i.kind = 'invoice' AND i.due = 0 AND i.used = 0 AND {_IN_BOOKS}",
}
_TOTALS: Final = """
SELECT i.currency, count(*), sum(i.amount - i.used)::bigint FROM matching.item i
WHERE i.ledger_id = $1 AND i.ready AND i.used <> i.amount AND {0} GROUP BY 1 ORDER BY 1"""
_FIRST_NAMES: Final = ("ledger_id", "source", "account", "external_id", "currency", "open", "dated")
_FIRST: Final = f"""
SELECT i.ledger_id, i.source, i.account, i.external_id, i.currency, i.amount - i.used, i.dated FROM matching.item i
WHERE i.ledger_id = $1 AND i.ready AND i.used <> i.amount AND {{0}}
ORDER BY i.dated, i.source, i.account, i.external_id LIMIT {MOST_SHOWN}"""
