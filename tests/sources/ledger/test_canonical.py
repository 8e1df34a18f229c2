"""The canonical form is what docs/canonical-form.md says, in Python and in the database."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.ledger import canonical
from sources.ledger.canonical import CanonicalLine
from sources.ledger.model import LedgerRef
from sources.ledger.rules import body_hash_of_refused, check
from tests.sources.ledger.books import TODAY, Books, credit, debit, entry, reversal

PAGE = Path(__file__).parents[3] / "docs" / "canonical-form.md"
FENCE = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
assert FENCE is not None
VECTORS: list[dict[str, Any]] = json.loads(FENCE[1])
LEDGER = LedgerRef(1, "acme-us", "USD")


def rebuilt(body: str) -> bytes:
    """The body through our functions, from the members that the page's vector holds."""
    stated = json.loads(body)
    stated.pop("version")
    if "reverses" in stated:
        return canonical.reversal_body(**stated)
    stated["lines"] = [CanonicalLine(**line) for line in stated["lines"]]
    return canonical.entry_body(**stated)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["key"])
def test_the_vectors_of_the_page(vector: dict[str, Any]) -> None:
    body = rebuilt(vector["body"])
    assert body == vector["body"].encode()
    assert canonical.body_hash(body).hex() == vector["body_hash"]
    link = canonical.entry_hash(
        bytes.fromhex(vector["previous"]),
        bytes.fromhex(vector["body_hash"]),
        **{name: vector[name] for name in ("sequence", "posted_micros", "posted_by", "origin", "key")},
    )
    assert link.hex() == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["key"])
def test_the_vectors_follow_from_the_words_of_the_page(vector: dict[str, Any]) -> None:
    """By its words alone, without our functions: JSON with sorted members, SHA-256, big-endian numbers."""
    body = json.dumps(json.loads(vector["body"]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert body == vector["body"]
    digest = hashlib.sha256(body.encode()).digest()
    texts = [vector[name].encode() for name in ("posted_by", "origin", "key")]
    parts = struct.pack(">qq", vector["sequence"], vector["posted_micros"])
    parts += b"".join(struct.pack(">I", len(text)) + text for text in texts)
    assert hashlib.sha256(bytes.fromhex(vector["previous"]) + digest + parts).hexdigest() == vector["hash"]


def test_the_vectors_are_one_chain() -> None:
    before = hashlib.sha256(b"ledgergraph genesis 1 acme-us").hexdigest()
    for vector in VECTORS:
        assert vector["previous"] == before
        before = vector["hash"]


async def test_the_database_computes_the_same_links(books: Books) -> None:
    """Keys, subjects and origins of any alphabet."""
    drafts = [entry(books.ledger, f"clé {text}", posted_by=f"sub {text}", origin=origin) for text, origin in
              (("€", ""), ("😀" * 60, "stripe"), ("\n\t\\", "xero"))]  # fmt: skip
    await books.post(*drafts)
    await books.post(reversal(books.ledger, "undo", 1))
    link = canonical.genesis_hash("acme-us")
    for row in await books.fetch(
        "SELECT *, (extract(epoch FROM posted_at) * 1000000)::bigint AS posted_micros FROM ledger.entry ORDER BY sequence"
    ):
        link = canonical.entry_hash(
            link,
            row["body_hash"],
            sequence=row["sequence"],
            posted_micros=row["posted_micros"],
            posted_by=row["posted_by"],
            origin=row["origin"],
            key=row["idempotency_key"],
        )
        assert row["hash"] == link


def hash_of(*lines: Any, **more: Any) -> bytes:
    checked, reasons = check(entry(LEDGER, "k", *lines, **more))
    assert checked is not None, reasons
    return checked.body_hash


def test_what_is_written_differently_is_the_same_body() -> None:
    plain = hash_of(debit("1000", "10.00"), credit("4000", "10"))
    assert plain == hash_of(debit("1000", "10", "USD", "10.000"), credit("4000", "0010.0", "USD"))
    assert plain == hash_of(debit("1000", "10"), credit("4000", "10"), posted_by="another", origin="stripe")
    one = hash_of(debit("1000", "1", dimensions=(("a", "1"), ("b", "2"))), credit("4000", "1"))
    assert one == hash_of(debit("1000", "1", dimensions=(("b", "2"), ("a", "1"))), credit("4000", "1"))


@given(st.sampled_from(["description", "journal", "reference", "line", "tax", "dimension"]), st.text("ab", max_size=3))
def test_any_text_changes_the_body(field: str, text: str) -> None:
    """An empty text is a text, not its absence."""
    plain = hash_of(debit("1000", "1"), credit("4000", "1"), description="d")
    if field in ("description", "journal", "reference"):
        more: dict[str, Any] = {"description": "d", field: f"x{text}" if field == "description" else text}
        changed = hash_of(debit("1000", "1"), credit("4000", "1"), **more)
    else:
        stated = {"line": {"description": text}, "tax": {"tax_code": text}, "dimension": {"dimensions": (("n", text),)}}
        changed = hash_of(debit("1000", "1", **stated[field]), credit("4000", "1"), description="d")
    assert changed != plain


def test_a_refused_draft_keeps_its_hash_where_it_has_a_body() -> None:
    unbalanced = entry(LEDGER, "k", debit("1000", "1"), credit("4000", "2"))
    assert body_hash_of_refused(unbalanced) is not None
    twice = (("a", "1"), ("a", "1"))
    for odd in (
        entry(LEDGER, "k", debit("1000", "x"), credit("4000", "2")),
        entry(LEDGER, "k", debit("1000", "1", dimensions=twice), credit("4000", "1")),
        entry(LEDGER, "k", description="\ud800"),
    ):
        assert body_hash_of_refused(odd) is None
    assert body_hash_of_refused(reversal(LEDGER, "r", 1, TODAY)) == canonical.body_hash(
        canonical.reversal_body(reverses=1, effective_date=TODAY, description="Reversal of entry 1")
    )
