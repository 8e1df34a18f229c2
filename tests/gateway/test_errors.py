"""The table from exception to code, what it masks, and that docs/errors.md lists the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from graphql import GraphQLError, GraphQLSyntaxError, Source, located_error
from structlog.testing import capture_logs

from gateway.closing import CLOSE_CODES, Closing
from gateway.errors import CODES, TABLE, describe, error_object, http_status, refusal
from sources import errors
from sources.ledger.model import RejectionCode

DOCS = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def section(title: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    text = DOCS.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_docs_list_every_code_and_its_status() -> None:
    documented = {row[0]: int(row[1]) for row in section("Codes")}
    assert documented == CODES


def test_docs_list_every_close_code() -> None:
    documented = {int(row[0]): row[1] for row in section("WebSocket close codes")}
    assert documented == CLOSE_CODES


def test_docs_list_every_rejection() -> None:
    """The codes of refused postings and changes are those of the ledger."""
    assert {row[0] for row in section("Rejections")} == {code.value for code in RejectionCode}


def test_every_exception_of_ours_has_its_place() -> None:
    """A new exception needs a decision here; a wrong setting is nothing that a client may see."""
    hidden = {errors.LedgergraphError, errors.ConfigurationError}
    known = {kind for kind in subclasses(errors.LedgergraphError) if kind.__module__ == errors.__name__}
    assert known - hidden <= set(TABLE)
    assert not hidden & set(TABLE)
    assert set(TABLE.values()) <= set(CODES)


def test_an_exception_takes_the_code_of_its_nearest_class() -> None:
    class LateSource(errors.SourceSyncing):
        pass

    assert describe(LateSource("soon"), "r")["extensions"] == {"code": "SOURCE_SYNCING", "requestId": "r"}
    assert http_status(LateSource("soon")) == 503
    assert describe(errors.SourceUnavailable("x"), "r")["extensions"]["code"] == "SOURCE_UNAVAILABLE"


def test_what_is_not_in_the_table_is_masked_and_logged() -> None:
    """The client gets a request id and nothing of the cause; the log gets both, with the traceback."""
    for fault in (RuntimeError("password=hunter2"), errors.ConfigurationError("/srv/secret.toml"), KeyError("x")):
        with capture_logs() as logs:
            found = describe(fault, "r-1", ["a", 0])
        assert found["extensions"] == {"code": "INTERNAL", "requestId": "r-1"}
        assert found["path"] == ["a", 0]
        assert "r-1" in found["message"]
        assert str(fault).strip("'") not in found["message"].split()
        assert logs[0]["request_id"] == "r-1"
        assert logs[0]["exc_info"] is fault
        assert http_status(fault) == 500


def test_a_graphql_error_counts_as_what_it_wraps() -> None:
    """With its path and locations; its message is the original's unless that is masked."""
    node_error = located_error(errors.NotFound("no such ledger"), path=["ledger"])
    found = describe(node_error, "r")
    assert (found["message"], found["path"]) == ("no such ledger", ["ledger"])
    assert found["extensions"]["code"] == "NOT_FOUND"
    masked = describe(located_error(RuntimeError("host db.internal"), path=["x"]), "r")
    assert masked["extensions"]["code"] == "INTERNAL"
    assert "db.internal" not in json.dumps(masked)


def test_graphql_errors_of_documents() -> None:
    syntax = GraphQLSyntaxError(Source("{"), 1, "Unexpected <EOF>.")
    found = describe(syntax, "r")
    assert found["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert found["locations"] == [{"line": 1, "column": 2}]
    assert describe(GraphQLError("no such field"), "r")["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    stated = GraphQLError("not a Decimal", extensions={"code": "BAD_USER_INPUT"})
    assert describe(stated, "r")["extensions"]["code"] == "BAD_USER_INPUT"
    foreign = GraphQLError("x", extensions={"code": "MADE_UP"})
    assert describe(foreign, "r")["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


def test_messages_can_always_be_sent() -> None:
    """What a client sent may be quoted in a message, also what UTF-8 cannot hold."""
    found = describe(errors.InvalidArgument("bad \ud800 value"), "r")
    assert found["message"].encode("utf-8") == b"bad ? value"


def test_unknown_codes_are_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="MADE_UP"):
        error_object("MADE_UP", "x", "r")
    assert refusal("OVERLOADED", "x", "r").http_status == 503


def test_a_close_reason_fits_its_frame() -> None:
    """A close frame holds 123 bytes of UTF-8."""
    assert len(Closing(4409, "é" * 300).reason.encode()) <= 123
