"""The built-in rules, which a rule file takes over by `extends = "starter"`. They change with the program: who keeps a rule file
keeps those that it extends beside it."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

STARTER_FILE: Final = "starter.toml"
STARTER_NAME: Final = "starter rules"
"""The name of the rules of a ledger that has none of its own: the built-in ones, which name no codes of it."""
_EXTENDS: Final = re.compile(r"""^[ \t]*["']?extends["']?[ \t]*=[ \t]*["']+starter["']""", re.MULTILINE)


@cache
def starter_text() -> str:
    """The text of the built-in rules; it comes with the program."""
    return (files("sources.mapping") / STARTER_FILE).read_text("utf-8")


def starter_of(text: str) -> str | None:
    """The built-in rules as they are now, where a rule file extends them; None: it does not."""
    return starter_text() if _EXTENDS.search(text) else None
