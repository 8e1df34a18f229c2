"""Connections that read, lent one at a time with little between: the driver's pool makes two tasks for each loan.

A connection that went well goes straight to the next reader. Whatever else became of it, it goes through the driver's pool,
which waits for a cancelled statement, ends a transaction that is left open, and replaces what was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import asyncpg

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
READ_ONLY = "SET default_transaction_read_only = on; "
"""Before a session's first claim: a statement alone writes as little as a snapshot."""


@dataclass(slots=True, eq=False)
class Loan:
    """`claim`: what ledgergraph.ledgers is in the connection's session; None: not set yet. `session`: the session is the
    connection's own. Where a pooler lends one for each transaction nothing may be left in it."""

    connection: asyncpg.pool.PoolConnectionProxy[Any]
    session: bool
    claim: str | None = None
    transaction: bool = False


class Lender:
    """Lends at most `size` connections of a pool at a time, for at most `patience` seconds of waiting."""

    def __init__(self, pool: asyncpg.Pool[Any], size: int, patience: float) -> None:
        self._pool, self._free, self._patience = pool, size, patience
        self._idle: list[Loan] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closing = False

    async def begin(self, claim: str, *, alone: bool) -> Loan:
        """A connection that sees the ledgers of this claim: inside one read-only snapshot, or, `alone`, for one statement,
        which is its own. Raises what the driver raises; TimeoutError when none came back in time."""
        loan = self._idle_one(claim) or await self._one()
        try:
            if loan.session and loan.claim != claim:
                first, loan.claim = READ_ONLY if loan.claim is None else "", None
                await loan.connection.execute(f"{first}SET ledgergraph.ledgers = '{claim}'")
                loan.claim = claim
            if not alone or not loan.session:
                loan.transaction = True
                local = "" if loan.session else f"; SET LOCAL ledgergraph.ledgers = '{claim}'"
                await loan.connection.execute(SNAPSHOT + local)
        except BaseException as error:
            await self.end(loan, error)
            raise
        return loan

    async def end(self, loan: Loan, failed: BaseException | None = None) -> None:
        """`failed`: what its reader met."""
        if failed is None and _is_open(loan):
            try:
                if loan.transaction:
                    await loan.connection.execute("COMMIT")
                    loan.transaction = False
            except BaseException as error:
                await self._return(loan, error)
                raise
            if self._closing:
                await self._return(loan, None)
            else:
                self._idle.append(loan)
                self._next()
        else:
            await self._return(loan, failed)

    async def close(self) -> None:
        """Waits for those that are lent, which then go through the driver's pool: it waits until it has them all."""
        self._closing = True
        while self._idle:
            await self._pool.release(self._idle.pop().connection)
        await self._pool.close()

    def _idle_one(self, claim: str) -> Loan | None:
        """An idle connection, one with this claim where there is one, unless others wait already."""
        if self._free <= 0 or self._waiting:
            return None
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place].claim == claim and _is_open(self._idle[place]):
                self._free -= 1
                return self._idle.pop(place)
        return None

    async def _one(self) -> Loan:
        """Some connection, idle or new, in the order of asking."""
        if self._free <= 0 or self._waiting:
            await self._wait()
        else:
            self._free -= 1
        try:
            while self._idle:
                loan = self._idle.pop()
                if _is_open(loan):
                    return loan
                await self._pool.release(loan.connection)
            return await self._new()
        except BaseException:
            self._next()
            raise

    async def _new(self) -> Loan:
        loan = Loan(await self._pool.acquire(timeout=self._patience), session=False)
        try:
            found = await loan.connection.fetchval("SELECT pg_backend_pid()")
            loan.session = found == loan.connection.get_server_pid()
        except BaseException as error:
            await self._release(loan, error)
            raise
        return loan

    async def _wait(self) -> None:
        """Until a place is free, which then is the waiter's."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._next()
            elif turn in self._waiting:  # not yet passed over by _next
                self._waiting.remove(turn)
            raise

    def _next(self) -> None:
        """A place is free: for whoever waits longest. Who gave up has a cancelled turn until it runs again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _return(self, loan: Loan, failed: BaseException | None) -> None:
        try:
            await self._release(loan, failed)
        finally:
            self._next()

    async def _release(self, loan: Loan, failed: BaseException | None) -> None:
        if isinstance(failed, asyncpg.InternalClientError) and _is_open(loan):
            loan.connection.terminate()  # the driver itself finds it confused: the pool would lend it again
        await self._pool.release(loan.connection)


def _is_open(loan: Loan) -> bool:
    try:
        return not loan.connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took it back when it was lost
        return False
