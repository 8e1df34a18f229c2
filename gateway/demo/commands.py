"""What the demo prints once it serves: the address, a token and three commands to paste."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from gateway.demo.company import US
from gateway.demo.rulebooks import COMPLETED, RULES_FOLDER

QUERY = '{ trialBalance(ledger: "acme-us") { sequence totalDebit totalCredit rows { account { code name } closing } } }'
POSTING = """mutation ($input: PostEntryInput!) { postEntry(input: $input) { __typename
 ... on EntryPosted { replayed entry { sequence hash } }
 ... on EntryRejected { reasons { code message path } }
 ... on IdempotencyConflict { message sequence } } }""".replace("\n", "")
POSTED: dict[str, object] = {
    "ledger": US.code,
    "description": "Coffee for the office",
    "lines": [{"account": "6310", "debit": "12.50"}, {"account": "1110", "credit": "12.50"}],
}
SUBSCRIPTION = (
    'subscription { postings(ledger: "acme-us") { cursor entry { sequence description total lines '
    "{ account { code } debit credit } } } }"
)


def commands_to_paste(address: str, token: str, today: date) -> str:
    """The text that the demo prints."""
    posted = {"input": {**POSTED, "idempotencyKey": f"coffee-{today}", "effectiveDate": str(today)}}
    return "\n".join(
        (
            "",
            f"ledgergraph serves the sample company at {address}/graphql",
            "",
            "A token that may do everything, for a day:",
            token,
            "",
            "A query:",
            _curl(address, token, QUERY),
            "",
            "A posting (again with the same key: the same entry):",
            _curl(address, token, POSTING, posted),
            "",
            "A live subscription (then post from another terminal):",
            _curl(address, token, SUBSCRIPTION, stream=True),
            "",
            "From now on Stripe, Xero, the bank and suppliers change by themselves; what becomes of it is told below.",
            "Ctrl-C stops everything; the data stays for the next start.",
            "",
        )
    )


def command_that_adds_the_rule(data_dir: Path) -> str:
    """What makes the rules active that take the document which the first ones do not."""
    program = Path(sys.argv[0]).name == "ledgergraph"
    words = [sys.argv[0]] if program else [sys.executable, "-m", "gateway.cli"]
    words += ["map", "--data-dir", str(data_dir), "--ledger", US.code]
    return shlex.join([*words, "--file", str(data_dir / RULES_FOLDER / COMPLETED)])


def _curl(
    address: str, token: str, query: str, variables: Mapping[str, object] | None = None, *, stream: bool = False
) -> str:
    body: dict[str, object] = {"query": query}
    if variables:
        body["variables"] = variables
    arguments = ["curl", "-sN" if stream else "-s", f"{address}/graphql", "-H", f"Authorization: Bearer {token}"]
    if stream:
        arguments += ["-H", "Accept: text/event-stream"]
    arguments += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join(arguments)
