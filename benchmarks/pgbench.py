"""pgbench on the statements that our answers come from: what the database gives to a client that does nothing with the rows."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from sources.database.binaries import ENVIRONMENT, installed_programs
from sources.database.embedded import DATABASE
from sources.database.pool import APP_ROLE
from sources.database.sockets import PORT, socket_directory

_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_PARAMETER = re.compile(r"\$(\d+)")
_NAME = re.compile(r"(?<!:):\w")
_CONTROL = ("BEGIN", "ROLLBACK", "COMMIT", "SET ")


@dataclass(frozen=True, slots=True)
class Statement:
    """As our driver sends it, with the values of its parameters."""

    sql: str
    values: Sequence[Any]


@contextmanager
def noting() -> Iterator[list[Statement]]:
    """What connections that are opened in the block are asked, once the loop has turned; transactions' beginnings and ends are
    left out."""
    noted: list[Statement] = []
    original = asyncpg.Connection.__init__

    def note(record: Any) -> None:
        if not record.query.lstrip().upper().startswith(_CONTROL):
            noted.append(Statement(record.query, record.args))

    def opened(self: asyncpg.Connection[Any], *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.add_query_logger(note)

    asyncpg.Connection.__init__ = opened  # type: ignore[method-assign, assignment]
    try:
        yield noted
    finally:
        asyncpg.Connection.__init__ = original  # type: ignore[method-assign]


class Pgbench:
    """One script: the statements of an answer, one after the other, prepared once, on `connections` connections."""

    def __init__(self, data_dir: Path, script: Path, statements: Sequence[Statement], connections: int) -> None:
        self.values: dict[str, str] = {}
        script.write_text("".join(f"{self._named(number, each)};\n" for number, each in enumerate(statements)))
        where = ["-h", str(socket_directory(data_dir)), "-p", str(PORT), "-U", APP_ROLE]
        how = ["-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-f", str(script)]
        given = [word for name, value in self.values.items() for word in ("-D", f"{name}={value}")]
        self._command = [str(installed_programs() / "pgbench"), *where, *how, *given]

    async def rate(self, seconds: float) -> float:
        """How often a second the script is run. Raises RuntimeError with what pgbench says."""
        command = [*self._command, "-T", str(max(1, round(seconds))), DATABASE]
        environment = {**ENVIRONMENT, "PGOPTIONS": "-c ledgergraph.ledgers=*"}
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        said, complained = await process.communicate()
        found = _TPS.search(said.decode())
        if process.returncode or found is None:
            raise RuntimeError(f"pgbench: {complained.decode()[-2_000:]}")
        return float(found[1])

    def _named(self, number: int, statement: Statement) -> str:
        """With pgbench's names for parameters; it has none for NULL."""
        if _NAME.search(statement.sql):
            raise RuntimeError(f"pgbench would take a part of this statement for a variable: {statement.sql}")

        def name(found: re.Match[str]) -> str:
            value = statement.values[int(found[1]) - 1]
            if value is None:
                return "NULL"
            named = f"s{number}p{found[1]}"
            self.values[named] = _text(value)
            return f":{named}"

        return _PARAMETER.sub(name, statement.sql)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "{" + ",".join(_item(item) for item in value) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _item(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "NULL" if value is None else _text(value)
