"""Rules of ledgers from the files that the settings name: read and checked at the start, stored and made active in their ledger.

A file is the one place for its ledger's rules. A ledger whose sources post, and that has no rules at all, gets the built-in ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sources.database.pool import Database
from sources.errors import ConfigurationError
from sources.ledger.directory import Directory
from sources.mapping.model import InvalidRules
from sources.mapping.rules import MAX_TEXT, load
from sources.mapping.starter import STARTER_NAME
from sources.pipeline import rulesets
from sources.pipeline.taking import see

STARTER: Final = 'extends = "starter"\n'
PROVIDED_BY: Final = "ledgergraph"


def read_rules(files: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """(text, name) of the rules of each ledger, by its code. Raises ConfigurationError with all that is wrong with one."""
    return {code: (read_text(path), path.name[-rulesets.LONGEST_NAME :]) for code, path in files.items()}


def read_text(path: Path) -> str:
    """A file that can be read as rules; no more of it is read than rules may have. Raises ConfigurationError with all that is
    wrong with it."""
    try:
        with path.open(encoding="utf-8") as opened:
            text = opened.read(MAX_TEXT + 1)
        load(text, str(path))
    except OSError as fault:
        raise ConfigurationError(f"{path}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: must be UTF-8 text") from None
    except InvalidRules as fault:
        raise ConfigurationError(str(fault)) from None
    return text


async def provide_rules(
    database: Database, directory: Directory, codes: Iterable[str], rules: Mapping[str, tuple[str, str]]
) -> set[str]:
    """Has these ledgers use the rules of their files, or the built-in ones if they have none; answers with those that exist,
    which now do. Raises DatabaseUnavailable."""
    found = await directory.resolve(codes)
    for code, ledger in found.items():
        async with database.writer() as connection, connection.transaction():
            await see(connection, ledger.ledger_id)
            active = await rulesets.active(connection, ledger.ledger_id)
            text, name = rules.get(code, (STARTER, STARTER_NAME))
            if active is not None and (code not in rules or active.text == text):
                continue
            saved = await rulesets.save(connection, ledger.ledger_id, text=text, name=name, created_by=PROVIDED_BY)
            await rulesets.activate(connection, ledger.ledger_id, saved.version)
    return set(found)
