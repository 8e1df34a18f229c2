"""Every code by which the pipeline tells something stands in its documentation, with what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sources.connectors.plaid import ADVICE, MUTATED
from sources.connectors.plaid_records import NOT_READY
from sources.mapping.model import UnmappedCode

ROOT = Path(__file__).parents[1]
_CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
_FLAGS = {"O_BINARY", "O_NOFOLLOW", "O_NONBLOCK", "SC_PAGE_SIZE"}
_NO_CODES = {"MORE_THAN_ORDERED", "MORE_THAN_RECEIVED", "OTHER_PRICE", MUTATED, NOT_READY, *ADVICE, *_FLAGS}
"""Reasons within a THREE_WAY_MISMATCH, which its message tells, words of Plaid's, and flags of the system's."""


def words() -> Iterator[str]:
    """Constants of the pipeline that look like codes."""
    for folder in ("connectors", "mapping", "mirror", "pipeline"):
        for path in sorted((ROOT / "sources" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
                    yield node.value


def test_docs_list_every_code() -> None:
    """Values of enums are told by the schema."""
    schema = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    enums = set(re.findall(r"^  ([A-Z_]+)$", schema, re.MULTILINE))
    told = set()
    for name in ("pipeline.md", "errors.md", "reconciliation.md"):
        rows = re.findall(r"^\|.*\|$", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE)
        told |= {code for row in rows for code in re.findall(r"\b[A-Z_]{4,}\b", row)}
    codes = {*words(), *UnmappedCode} - enums - _NO_CODES
    assert len(codes) > 20
    assert codes - told == set()
