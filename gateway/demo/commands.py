"""What the demo prints once it serves: the address, a token and three commands to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import date

from gateway.demo.company import US

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
            "Ctrl-C stops everything; the data stays for the next start.",
        )
    )


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
