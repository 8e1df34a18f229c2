"""What is open on a day, as SQL over matching.open_item (`sql/0022_open_items.sql` and `sql/0028_open_in_books.sql` say what a row is
and how it comes about).

Rows whose invoice changed since they were computed are passed by; what the change made of them is computed instead. Rows that have no
end yet have indexes of their own, and those that ended after the day are found by steps of how long they lasted: as many are looked at
as were open on the day, or a few times that, in books of any age.
"""

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    "kind source external_id party_id party_name currency due_on open on_account unexplained functional set_off"
)
UNFOUND: Final = "greatest(least(sum(on_account), sum(set_off)), 0)"
"""Of one party and currency: what its documents were prepaid by, and it did not have on account. That is on nobody's account."""
_STEPS: Final = (8, 32, 128, 512, 2048, 1048576)


def on_day(ledger: str, direction: str, day: str) -> str:
    """A statement of what is open on a day, or on the control account without that; ledger, direction and day are expressions. Columns:
    `COLUMNS`; amounts in minor units, what takes off negative, as `open` of a credit note is. `on_account` is more
    than nothing where a source set it off (`set_off`): see `UNFOUND`."""
    held = f"i.ledger_id = {ledger} AND i.direction = {direction} AND i.from_day <= {day} AND {_is_current(ledger)}"
    # Row security lets an index be searched by comparisons alone, so days are counted apart from them.
    steps = ", ".join(f"({step}, {day} - {step})" for step in _STEPS)
    return f"""
SELECT {_of("i")} FROM matching.open_item i WHERE {held} AND i.until_day IS NULL
UNION ALL
SELECT {_of("i")} FROM (VALUES {steps}) AS step (days, first) JOIN matching.open_item i
    ON i.lasts = step.days AND i.from_day > step.first AND i.until_day > {day} AND i.until_day IS NOT NULL
WHERE {held}
UNION ALL
SELECT {_of("s")} FROM (
    SELECT array_agg(kind) AS kinds, array_agg(source) AS sources, array_agg(external_id) AS ids
    FROM matching.open_todo WHERE ledger_id = {ledger} HAVING count(*) > 0
) AS noted CROSS JOIN LATERAL matching.open_spans({ledger}, noted.kinds, noted.sources, noted.ids) AS s
WHERE s.direction = {direction} AND s.from_day <= {day} AND (s.until_day IS NULL OR s.until_day > {day})"""


def on_account(ledger: str, direction: str, day: str) -> str:
    """A statement of money that a party paid, or was paid, and that is matched with no document of it up to a day. Columns: party_id,
    party_name, currency, amount in minor units: negative, as it takes off what is open, but for what is given back."""
    return f"""
SELECT coalesce(a.party_id, '') AS party_id, coalesce((
        SELECT named.party_name FROM matching.open_item named
        WHERE named.ledger_id = {ledger} AND named.party_id = a.party_id LIMIT 1), '') AS party_name, a.currency,
    CASE a.side WHEN 'receivable' THEN -a.amount ELSE a.amount END AS amount
FROM matching.allocation a
CROSS JOIN LATERAL (
    SELECT m.source, m.account, m.external_id FROM matching.match m
    WHERE m.ledger_id = {ledger} AND m.match_id = a.match_id AND m.status || '' IN ('CERTAIN', 'CONFIRMED') LIMIT 1
) AS live
CROSS JOIN LATERAL (
    SELECT t.dated FROM matching.item t WHERE t.ledger_id = {ledger} AND t.kind = 'bank_transaction' AND t.source = live.source
        AND t.account = live.account AND t.external_id = live.external_id LIMIT 1
) AS moved
WHERE a.ledger_id = {ledger} AND a.kind = 'on_account' AND a.side = lower({direction}) AND moved.dated <= {day}"""


def _of(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in COLUMNS.split())


def _is_current(ledger: str) -> str:
    """Whether nothing is noted of `i`. Mostly nothing is noted at all, which is known once. In words by which the planner takes it for
    likely: it would sort all rows, were they few."""
    noted = f"SELECT FROM matching.open_todo t WHERE t.ledger_id = {ledger}"
    return f"(NOT EXISTS ({noted}) OR NOT EXISTS ({noted} AND t.source = i.source AND t.external_id = i.external_id AND t.kind = i.kind))"
