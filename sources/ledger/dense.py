"""Pages of entries that are known without being read: sequences are dense, so that the newest one tells them all.

Where the texts of entries are kept, a page needs of each row no more than what the text is kept by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sources.ledger.versions import Version
from sources.packing import Numbered
from sources.reading import Order, PageArgs, Row, Want, encode_cursor

_ROW = frozenset(("ledger_id", "sequence", "names_version", "mark"))
_ALL = frozenset(("rows", "page_info", "total_count"))


def is_dense(want: Want) -> bool:
    """Whether a connection's rows are wanted for their kept texts alone."""
    columns = want.nested["rows"].columns if "rows" in want.columns else ()
    return "mark" in columns and _ROW.issuperset(columns) and _ALL.issuperset(want.columns)


def dense_page(ledger_id: int, version: Version | None, order: Order, want: Want, paging: PageArgs) -> dict[str, Any]:
    """As `sources.reading.page`, in order of sequence. Instead of its entry's hash, a row's mark is the era: each tells that the
    entry is the same as before."""
    low, high = 1, version.last_sequence if version else 0
    total = high
    floor, ceiling = (paging.before, paging.after) if order.descending else (paging.after, paging.before)
    if floor is not None:
        low = max(low, floor[0] + 1)
    if ceiling is not None:
        high = min(high, ceiling[0] - 1)
    more = high - low + 1 > paging.limit
    if more and order.descending != paging.backward:
        low = high - paging.limit + 1
    elif more:
        high = low + paging.limit - 1
    sequences = range(high, low - 1, -1) if order.descending else range(low, high + 1)
    info = {
        "has_next": paging.before is not None if paging.backward else more,
        "has_previous": more if paging.backward else paging.after is not None,
        "start": encode_cursor(order, sequences[:1]) if sequences else None,
        "end": encode_cursor(order, sequences[-1:]) if sequences else None,
    }
    rows: Sequence[Row] = _rows(ledger_id, version, want.nested["rows"], sequences) if version else ()
    return {"rows": rows, "page_info": _info(want, info), "total_count": total}


def _rows(ledger_id: int, version: Version, want: Want, sequences: range) -> Numbered:
    same = {"ledger_id": ledger_id, "names_version": version.names_version, "mark": version.era}
    values = tuple([same[name] for name in want.columns if name != "sequence"])
    return Numbered(values, want.columns.index("sequence"), sequences)


def _info(want: Want, info: dict[str, Any]) -> Row | None:
    return want.nested["page_info"].row(info) if "page_info" in want.columns else None
