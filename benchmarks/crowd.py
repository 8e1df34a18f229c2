"""A crowd of subscribers in a process of its own, what it subscribes to, and what it posts."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
USERS = 50
_FIELDS = (
    "effectiveDate description total",
    "effectiveDate description reference journal total",
    "description",
    "total",
    "effectiveDate total",
    "postedBy description total hash",
    "hash",
    "journal reference",
    "effectiveDate journal total",
    "postedBy effectiveDate description reference journal total hash",
)
_CHOICES = [(total, accounts) for accounts in (("1000", "1001"), ("1002", "1003")) for total in (500, 100, 300, 50)]


def _selected(fields: str) -> str:
    return f"cursor entry {{ sequence postedAt {fields} }}"


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

    async def open(
        self, port: int, data_dir: Path, watched: Sequence[Watched], count: int, *, posting: bool = True
    ) -> None:
        """So many subscribers, spread over the subscriptions; with `posting`, when all have received an entry."""
        await self.do(
            "open",
            port=port,
            tokens=tokens(data_dir),
            payloads=[each.payload for each in watched],
            subscribers=count,
            entries=entries(watched) if posting else [],
        )


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


@dataclass(frozen=True, slots=True)
class Watched:
    """One subscription, and which entries its filter lets through."""

    payload: dict[str, Any]
    passes: Callable[[int, Sequence[str]], bool]


def _watched(selection: str, filter_: dict[str, Any] | None, passes: Callable[[int, Sequence[str]], bool]) -> Watched:
    return Watched({"query": SUBSCRIPTION % (LEDGER, selection), "variables": {"filter": filter_}}, passes)


SAME = [_watched(_selected("effectiveDate description total"), None, lambda total, accounts: True)]
"""The one subscription that everybody has."""

DIFFERENT = [
    _watched(_selected(fields), filter_, passes)
    for fields in _FIELDS
    for filter_, passes in (
        (None, lambda total, accounts: True),
        ({"minTotal": "100.00"}, lambda total, accounts: total >= 100),
        ({"minTotal": "300.00"}, lambda total, accounts: total >= 300),
        ({"accountCodes": ["1000"]}, lambda total, accounts: "1000" in accounts),
        ({"accountCodes": ["1001", "1003"]}, lambda total, accounts: True),
    )
]
"""Ten selections, five filters each; the first entry passes them all."""


def entries(watched: Sequence[Watched]) -> list[dict[str, Any]]:
    """What the crowd posts, over and over: see `benchmarks.watching.Entry`."""
    return [
        {
            "input": _input(number, total, accounts),
            "matches": [each.passes(total, accounts) for each in watched],
        }
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
        await subscribers.open(port, data_dir, SAME, count)
        yield
        await subscribers.do("close")
