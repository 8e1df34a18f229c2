"""The four questions of the reading contest: each as it is put to us and to PostGraphile, and the facts of both answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from benchmarks.books import LEDGER, PAST_DAY, codes

Facts = Callable[[Any], list[Any]]
"""What an answer's `data` says, apart from form: rows in order, amounts in major units."""


@dataclass(frozen=True, slots=True)
class Question:
    """`entries`: whether it reads posted entries, whose texts can be kept; `least`: how many facts the answer has at least.
    PostGraphile knows the ledger by its id, the variable `ledger` of `peer_query`: one lookup less than ours. `variations`:
    variables, of the same names for both, that the clients set in turn."""

    name: str
    title: str
    query: str
    variables: Mapping[str, Any]
    facts: Facts
    peer_query: str
    peer_variables: Mapping[str, Any]
    peer_facts: Facts
    entries: bool
    least: int
    variations: Sequence[Mapping[str, Any]] = ({},)

    def body(self, variation: Mapping[str, Any]) -> str:
        """As it is put to us."""
        return _body(self.query, {**self.variables, **variation})

    def peer_body(self, ledger_id: int, variation: Mapping[str, Any]) -> str:
        """As it is put to PostGraphile."""
        return _body(self.peer_query, {**self.peer_variables, "ledger": str(ledger_id), **variation})


def _body(query: str, variables: Mapping[str, Any]) -> str:
    return orjson.dumps({"query": query, "variables": variables}).decode()


def questions(entries: int, accounts: int = 200) -> list[Question]:
    return [_newest(entries), _account(accounts), _trial_balance(accounts), _page(entries)]


def _newest(entries: int) -> Question:
    return Question(
        name="Q1",
        title="50 newest entries, each with its lines, each line with its account",
        query="""query ($ledger: String!, $first: Int) {
  entries(ledger: $ledger, first: $first, orderBy: SEQUENCE_DESC) {
    nodes { sequence effectiveDate description total
            lines { lineNumber debit credit currency account { code name } } } } }""",
        variables={"ledger": LEDGER, "first": 50},
        facts=lambda data: [
            (*_header(entry, _major), [_line(line, _net(line)) for line in entry["lines"]])
            for entry in data["entries"]["nodes"]
        ],
        peer_query="""query ($ledger: BigInt!, $first: Int) {
  allEntriesList(condition: {ledgerId: $ledger}, first: $first, orderBy: [SEQUENCE_DESC]) {
    sequence effectiveDate description total
    lines { lineNumber amount currency account { code name } } } }""",
        peer_variables={"first": 50},
        peer_facts=lambda data: [
            (*_header(entry, _minor), [_line(line, _minor(line["amount"])) for line in entry["lines"]])
            for entry in data["allEntriesList"]
        ],
        entries=True,
        least=min(50, entries),
    )


def _account(accounts: int) -> Question:
    chart = codes(accounts)
    code = chart[accounts // 2]
    return Question(
        name="Q2",
        title="one account with its balance",
        query="""query ($ledger: String!, $code: String!, $asOf: Date) {
  account(ledger: $ledger, code: $code) { code name type functionalBalance(asOf: $asOf) } }""",
        variables={"ledger": LEDGER, "code": code, "asOf": PAST_DAY.isoformat()},
        facts=lambda data: [_named(data["account"]), _major(data["account"]["functionalBalance"])],
        peer_query="""query ($ledger: BigInt!, $code: String!, $asOf: Date) {
  accountByLedgerIdAndCode(ledgerId: $ledger, code: $code) { code name type balance(asOf: $asOf) } }""",
        peer_variables={"code": code, "asOf": PAST_DAY.isoformat()},
        peer_facts=lambda data: [
            _named(data["accountByLedgerIdAndCode"]),
            _minor(data["accountByLedgerIdAndCode"]["balance"]),
        ],
        entries=False,
        least=2,
        variations=[{"code": each} for each in chart],
    )


def _trial_balance(accounts: int) -> Question:
    return Question(
        name="Q3",
        title=f"trial balance of {accounts} accounts at a past date",
        query="""query ($ledger: String!, $to: Date) {
  trialBalance(ledger: $ledger, to: $to) { rows { account { code name } debit credit closing } } }""",
        variables={"ledger": LEDGER, "to": PAST_DAY.isoformat()},
        facts=lambda data: [
            (*_named(row["account"]), *(_major(row[side]) for side in ("debit", "credit", "closing")))
            for row in data["trialBalance"]["rows"]
        ],
        peer_query="""query ($ledger: BigInt!, $asOf: Date) {
  peerTrialBalanceList(ledger: $ledger, asOf: $asOf) { code name debit credit closing } }""",
        peer_variables={"asOf": PAST_DAY.isoformat()},
        peer_facts=lambda data: [
            (*_named(row), *(_minor(row[side]) for side in ("debit", "credit", "closing")))
            for row in data["peerTrialBalanceList"]
        ],
        entries=False,
        least=accounts * 9 // 10,
    )


def _page(entries: int) -> Question:
    return Question(
        name="Q4",
        title="1,000 entries, flat",
        query="""query ($ledger: String!, $first: Int) {
  entries(ledger: $ledger, first: $first, orderBy: SEQUENCE_DESC) {
    nodes { sequence effectiveDate journal description reference total } } }""",
        variables={"ledger": LEDGER, "first": 1_000},
        facts=lambda data: [_flat(entry, _major) for entry in data["entries"]["nodes"]],
        peer_query="""query ($ledger: BigInt!, $first: Int) {
  allEntriesList(condition: {ledgerId: $ledger}, first: $first, orderBy: [SEQUENCE_DESC]) {
    sequence effectiveDate journal description reference total } }""",
        peer_variables={"first": 1_000},
        peer_facts=lambda data: [_flat(entry, _minor) for entry in data["allEntriesList"]],
        entries=True,
        least=min(1_000, entries),
    )


def _header(entry: Any, amount: Callable[[str], Decimal]) -> tuple[Any, ...]:
    return int(entry["sequence"]), entry["effectiveDate"], entry["description"], amount(entry["total"])


def _flat(entry: Any, amount: Callable[[str], Decimal]) -> tuple[Any, ...]:
    return (*_header(entry, amount), entry["journal"], entry["reference"])


def _line(line: Any, amount: Decimal) -> tuple[Any, ...]:
    return int(line["lineNumber"]), amount, line["currency"], *_named(line["account"])


def _named(account: Any) -> tuple[Any, ...]:
    return account["code"], account["name"], account.get("type")


def _net(line: Any) -> Decimal:
    return _major(line["debit"] or "0") - _major(line["credit"] or "0")


def _major(amount: str) -> Decimal:
    return Decimal(amount)


def _minor(amount: str) -> Decimal:
    """PostGraphile's amounts are the tables' minor units; the seeded currencies have two decimals."""
    return Decimal(amount) / 100
