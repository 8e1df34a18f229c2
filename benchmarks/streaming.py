"""Fan-out: a thousand subscribers of one ledger's postings, beside Strawberry's own subscription handler."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.books import LEDGER, POSTING_DAY
from benchmarks.load import KEY
from benchmarks.processes import beside
from gateway.authentication import issue_token
from gateway.config import Settings
from gateway.tokens import signing_secret, token_rules

SUBSCRIPTION = 'subscription ($filter: PostingFilter) { postings(ledger: "%s", filter: $filter) { %s } }'
SELECTION = "cursor entry { sequence postedAt effectiveDate description total }"
USERS = 50
_CHOICES = [(total, accounts) for accounts in (("1000", "1001"), ("1002", "1003")) for total in (500, 100, 300, 50)]


class Crowd:
    """The process of the subscribers; see `benchmarks.watching.Session` for what it does."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def do(self, what: str, **job: Any) -> Any:
        """A job's result. Raises RuntimeError when a subscriber received anything else than what it should."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps({"do": what, **job}) + b"\n")
        await self._process.stdin.drain()
        found = orjson.loads(await self._process.stdout.readline() or b'{"failed": "it ended"}')
        if isinstance(found, dict) and "failed" in found:
            raise RuntimeError(f"{what}: {found['failed']}")
        return found


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    async with beside("benchmarks.watching") as process:
        yield Crowd(process)


def tokens(data_dir: Path, users: int = USERS) -> list[str]:
    """Of so many users, who may read and post."""
    settings = Settings(data_dir=data_dir)
    secret, rules = signing_secret(settings), token_rules(settings)
    scopes = ("ledger:read", "ledger:post")
    return [
        issue_token(secret, subject=f"user-{number}", scopes=scopes, ledgers=[LEDGER], ttl=3600, rules=rules)
        for number in range(users)
    ]


def same(selection: str = SELECTION) -> list[dict[str, Any]]:
    """The one subscription that everybody has."""
    return [{"query": SUBSCRIPTION % (LEDGER, selection), "variables": {}}]


def entries(matches: Sequence[Sequence[bool]] = ()) -> list[dict[str, Any]]:
    """What the crowd posts, over and over; `matches`: for each entry, whether each subscription lets it through."""
    return [
        {"input": _input(number, total, accounts), "matches": matches[number] if matches else [True]}
        for number, (total, accounts) in enumerate(_CHOICES)
    ]


def _input(number: int, total: int, accounts: Sequence[str]) -> dict[str, Any]:
    debit, credit = accounts
    return {
        "ledger": LEDGER,
        "idempotencyKey": f"watched-{KEY}",
        "effectiveDate": POSTING_DAY.isoformat(),
        "description": f"Invoice {number} of customer {total}",
        "lines": [{"account": debit, "debit": f"{total}.00"}, {"account": credit, "credit": f"{total}.00"}],
    }


@asynccontextmanager
async def idle_subscribers(port: int, data_dir: Path, count: int) -> AsyncIterator[None]:
    """So many WebSocket subscribers of the ledger `LEDGER` on a gateway, in a process of their own, for as long as the block
    runs. All have received an entry, which was posted for that, and then nothing is posted."""
    async with crowd() as subscribers:
        issued = tokens(data_dir)
        await subscribers.do("open", port=port, tokens=issued, payloads=same(), subscribers=count, entries=entries())
        yield
        await subscribers.do("close")
