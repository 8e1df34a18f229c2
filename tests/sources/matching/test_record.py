"""A bank's own record may hold anything, and is read again at every look: what is found in it takes time in proportion to its length."""

from __future__ import annotations

from time import process_time

import pytest

from sources.matching import record
from sources.money import EXPONENTS


@pytest.mark.parametrize(
    "repeated",
    [
        "<Chrgs>",
        "<a:Chrgs>",
        "<Chrgs><Rcrd><Amt Ccy='EUR'>1<",
        "<Chrgs></a:Chrgs>",
        "<InstdAmt>",
        "<Ref>a",
        "<",
        "DE89",
        " ",
    ],
)
def test_a_hostile_record_is_looked_through_at_once(repeated: str) -> None:
    raw = record.raw_text({"text": repeated * (record.MAX_RAW // len(repeated))})
    began = process_time()
    assert record.charges(raw, "EUR", EXPONENTS) is None
    assert record.instructed(raw, EXPONENTS) is None
    assert record.payer_account(raw, []) is None
    record.creditor_references(raw)
    record.is_return(raw, raw)
    assert process_time() - began < 2, "6 s where blocks that nothing ends were sought from each of their beginnings"
