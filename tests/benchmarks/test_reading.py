"""The reading contest compares facts: other forms of the same answer are equal, and a cent's difference is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.questions import Question, questions
from benchmarks.reading import OURS as SETTINGS
from benchmarks.reading import PEERS, _compare, contestants_of
from benchmarks.reading_text import ANSWERS_KEPT, ENTRIES_KEPT, EXECUTED, GATHERED, POSTGRAPHILE
from gateway.config import load
from gateway.limits import Limits

CASH = {"code": "1000", "name": "Cash"}
ENTRY = {"effectiveDate": "2025-01-31", "description": "Rent", "journal": None, "reference": "R-1"}
LINE = {"lineNumber": 1, "currency": "USD", "account": CASH}
OURS: Mapping[str, Any] = {
    "Q1": {
        "entries": {
            "nodes": [{**ENTRY, "sequence": 7, "total": "12.30", "lines": [{**LINE, "debit": None, "credit": "12.30"}]}]
        }
    },
    "Q2": {"account": {**CASH, "type": "ASSET", "functionalBalance": "-0.05"}},
    "Q3": {"trialBalance": {"rows": [{"account": CASH, "debit": "10.00", "credit": "9.50", "closing": "0.50"}]}},
    "Q4": {"entries": {"nodes": [{**ENTRY, "sequence": 7, "total": "12.30"}]}},
}
ITS: Mapping[str, Any] = {
    "Q1": {"allEntriesList": [{**ENTRY, "sequence": "7", "total": "1230", "lines": [{**LINE, "amount": "-1230"}]}]},
    "Q2": {"accountByLedgerIdAndCode": {**CASH, "type": "ASSET", "balance": "-5"}},
    "Q3": {"peerTrialBalanceList": [{**CASH, "debit": "1000", "credit": "950", "closing": "50"}]},
    "Q4": {"allEntriesList": [{**ENTRY, "sequence": "7", "total": "1230"}]},
}


def answers(question: Question, its: bytes) -> dict[str, bytes]:
    return {EXECUTED: orjson.dumps({"data": OURS[question.name]}), POSTGRAPHILE: its}


@pytest.mark.parametrize("question", [replace(it, least=1) for it in questions(1)], ids=lambda it: it.name)
def test_answers_are_compared_by_their_facts(question: Question):
    its = orjson.dumps({"data": ITS[question.name]})
    _compare(question, answers(question, its))
    for digits, other in ((b'"1230"', b'"1231"'), (b'"-5"', b'"5"'), (b'"950"', b'"951"')):
        if digits in its:
            with pytest.raises(RuntimeError, match="answer differently"):
                _compare(question, answers(question, its.replace(digits, other)))
    with pytest.raises(RuntimeError, match="PostGraphile answers"):
        _compare(question, answers(question, its[:-1] + b',"errors":[{"message":"no"}]}'))
    with pytest.raises(RuntimeError, match="not the answer"):
        _compare(replace(question, least=3), answers(question, its))


def test_one_account_is_asked_for_after_the_other_of_all_contestants_alike():
    """Ours and PostGraphile's bodies name the same accounts in the same order, each once; the other questions have one body."""
    newest, account, *others = questions(1)
    ours = [orjson.loads(account.body(each)) for each in account.variations]
    its = [orjson.loads(account.peer_body(7, each)) for each in account.variations]
    assert len({body["variables"]["code"] for body in ours}) == len(ours) == 200
    assert [body["variables"]["code"] for body in its] == [body["variables"]["code"] for body in ours]
    assert {(body["query"], body["variables"]["ledger"], body["variables"]["asOf"]) for body in ours} == {
        (account.query, account.variables["ledger"], account.variables["asOf"])
    }
    assert {(body["query"], body["variables"]["ledger"]) for body in its} == {(account.peer_query, "7")}
    assert [orjson.loads(each.body({}))["variables"] for each in (newest, *others)] == [
        each.variables for each in (newest, *others)
    ]
    assert all(list(each.variations) == [{}] for each in (newest, *others))


def test_what_is_told_as_executed_is_neither_kept_nor_shared(tmp_path: Path):
    """The gateways' settings: each request alone without any cache, gathered without any cache, entries kept, the defaults."""
    found = {}
    for name, limits in SETTINGS.items():
        (tmp_path / "settings.toml").write_text(limits)
        found[name] = load({}, config=tmp_path / "settings.toml").limits
    nothing_kept = replace(Limits(), answer_cache_bytes=0, fragment_cache_bytes=0)
    assert found == {
        EXECUTED: replace(nothing_kept, reading_group=1),
        GATHERED: nothing_kept,
        ENTRIES_KEPT: replace(Limits(), reading_group=1, answer_cache_bytes=0),
        ANSWERS_KEPT: Limits(),
    }
    assert Limits().reading_group > 1


def test_nobody_is_asked_what_would_mean_nothing():
    """Clients that all send one request would share one answer; a balance has no entries to keep."""
    assert {question.name: contestants_of(question) for question in questions(1)} == {
        "Q1": [EXECUTED, ENTRIES_KEPT, ANSWERS_KEPT, *PEERS],
        "Q2": [EXECUTED, GATHERED, ANSWERS_KEPT, *PEERS],
        "Q3": [EXECUTED, ANSWERS_KEPT, *PEERS],
        "Q4": [EXECUTED, ENTRIES_KEPT, ANSWERS_KEPT, *PEERS],
    }
