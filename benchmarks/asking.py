"""A gateway whose memory is watched, and requests of many kinds to make it grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import psutil

from benchmarks.books import DAYS, FIRST_DAY, LEDGER, POSTING_DAY, codes
from benchmarks.contest import token
from benchmarks.growing import ACCOUNTS, PAGES
from benchmarks.load import answer_of, request_of
from benchmarks.processes import gateway, serving
from gateway.config import Settings

CONNECTIONS = 8
_BUFFER = 2**26


@dataclass(frozen=True, slots=True)
class Use:
    """Bytes in memory of the gateway's process, and of all of PostgreSQL's; pages that processes share are divided among
    them where the system tells."""

    gateway: int
    database: int


class Watched:
    """A gateway that serves `data_dir`, and who asks it."""

    def __init__(self, data_dir: Path, port: int, token_: str) -> None:
        self.port, self._token = port, token_
        mine = psutil.Process().children(recursive=True)
        [self._process] = [each for each in mine if str(data_dir) in each.cmdline() and "serve" in each.cmdline()]
        self._server = psutil.Process(int((data_dir / "cluster" / "postmaster.pid").read_text().split()[0]))
        self._noted: Use | None = None

    def use(self) -> Use:
        database = [self._server, *self._server.children(recursive=True)]
        return Use(_held(self._process), sum(_held(process) for process in database))

    def note(self) -> None:
        """Remembers what is used now."""
        self._noted = self.use()

    def noted(self) -> Use | None:
        """What was remembered, once."""
        found, self._noted = self._noted, None
        return found

    async def send(self, bodies: Iterable[bytes]) -> None:
        """Asks each once, several at a time. Raises RuntimeError for an answer that is none."""
        waiting = iter(bodies)
        await asyncio.gather(*(self._lane(waiting) for _ in range(CONNECTIONS)))

    async def ask(self, body: bytes) -> bytes:
        """One answer."""
        answers: list[bytes] = []
        await self._lane(iter([body]), answers)
        return answers[0]

    async def _lane(self, waiting: Iterator[bytes], answers: list[bytes] | None = None) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=_BUFFER)
        try:
            for body in waiting:
                writer.write(request_of(self.port, self._token, body.decode()))
                head, answer = await answer_of(reader)
                if b'"data"' not in answer[:100] and b'"errors"' not in answer[:100]:
                    raise RuntimeError(f"{body[:300]!r}: {head[:40]!r} {answer[:2_000]!r}")
                if answers is not None:
                    answers.append(answer)
        finally:
            writer.close()


def _held(process: psutil.Process) -> int:
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.rss))


@asynccontextmanager
async def watched(data_dir: Path, log: Path, config: Path | None = None) -> AsyncIterator[Watched]:
    """A gateway of its own, that has answered once."""
    async with serving(gateway(data_dir, config), log) as port:
        found = Watched(data_dir, port, token(Settings(data_dir=data_dir)))
        await found.ask(_body(PAGES, order="SEQUENCE_DESC"))
        yield found


def _body(query: str, **variables: object) -> bytes:
    return orjson.dumps({"query": query, "variables": {"ledger": LEDGER, **variables}})


# ---------------------------------------------------------------- requests

_FIELDS = ("journal", "description", "reference", "total", "postedAt", "postedBy", "idempotencyKey", "source", "hash")
_LINES = "lines { lineNumber debit credit currency account { id code name } }"
_ACCOUNT = """query ($ledger: String!, $code: String!, $asOf: Date) { account(ledger: $ledger, code: $code) {
  id code name type functionalBalance(asOf: $asOf) balances(asOf: $asOf) { currency debit credit net } } }"""
_WITH_LINES = f"""query ($ledger: String!, $after: String) {{ entries(ledger: $ledger, first: 500, after: $after) {{
  nodes {{ id sequence effectiveDate postedAt description reference total {_LINES} }} pageInfo {{ endCursor hasNextPage }} }} }}"""
_POST = """mutation ($entry: PostEntryInput!) { postEntry(input: $entry) { __typename
  ... on EntryPosted { entry { sequence lines { account { name } } } } } }"""
_TRIAL_BALANCE = "query ($ledger: String!, $to: Date) { trialBalance(ledger: $ledger, to: $to) { rows { closing } } }"


def documents(count: int) -> Iterator[bytes]:
    """No two alike, each twice: the second time texts are kept, and planned for."""
    for number in range(count):
        chosen = " ".join(name for place, name in enumerate(_FIELDS) if number >> place & 1)
        query = (
            f"query Page{number} ($ledger: String!) {{ page{number}: entries(ledger: $ledger, first: {10 + number % 7}, "
            f"orderBy: SEQUENCE_DESC) {{ nodes {{ id sequence effectiveDate {chosen} {_LINES} }} "
            "pageInfo { endCursor hasNextPage } } }"
        )
        yield _body(query)
        yield _body(query)


def answers(count: int) -> Iterator[bytes]:
    """One document with so many different variables."""
    chart = codes(ACCOUNTS)
    for number in range(count):
        day = FIRST_DAY + timedelta(days=number // ACCOUNTS % DAYS)
        yield _body(_ACCOUNT, code=chart[number % ACCOUNTS], asOf=day.isoformat())


def large(quick: bool) -> bytes:
    """A request whose answer has some 10 MB."""
    fields = f"nodes {{ id sequence description {_LINES} }}"
    aliases = (
        f"a{number}: entries(ledger: $ledger, first: 1000) {{ {fields} }}" for number in range(2 if quick else 14)
    )
    return _body(f"query ($ledger: String!) {{ {' '.join(aliases)} }}")


async def page_through(found: Watched, *, lines: bool) -> None:
    """All entries by cursor."""
    cursor, more = None, True
    while more:
        body = _body(_WITH_LINES, after=cursor) if lines else _body(PAGES, after=cursor, order="SEQUENCE_ASC")
        page = orjson.loads(await found.ask(body))["data"]["entries"]["pageInfo"]
        cursor, more = page["endCursor"], page["hasNextPage"]


def various(start: int, count: int) -> Iterator[bytes]:
    """Queries of several kinds, some of them never asked before, postings, and what is refused."""
    chart, run = codes(ACCOUNTS), uuid4().hex
    for number in range(start, start + count):
        day = (FIRST_DAY + timedelta(days=number % DAYS)).isoformat()
        match number % 10:
            case 0 | 1 | 2:
                yield _body(_ACCOUNT, code=chart[number % ACCOUNTS], asOf=day)
            case 3 | 4:
                yield _body(PAGES.replace("first: 1000", "first: 50"), order="SEQUENCE_DESC")
            case 5:
                yield _body(f"query Once{number} ($ledger: String!) {{ ledger(code: $ledger) {{ name }} }}")
            case 6:
                yield _body(_TRIAL_BALANCE, to=day)
            case 7:
                yield _body(f"{{ unknown{number} }}")
            case _:
                yield _body(
                    _POST, entry=_entry(f"{run}-{number}", chart[number % ACCOUNTS], chart[number * 7 % ACCOUNTS])
                )


def _entry(key: str, debited: str, credited: str) -> dict[str, object]:
    return {
        "ledger": LEDGER,
        "idempotencyKey": key,
        "effectiveDate": POSTING_DAY.isoformat(),
        "description": f"Posting {key}",
        "lines": [{"account": debited, "debit": "12.50"}, {"account": credited, "credit": "12.50"}],
    }
