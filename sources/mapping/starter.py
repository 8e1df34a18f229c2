"""The built-in rules, which a rule file takes over by `extends = "starter"`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

STARTER_FILE: Final = "starter.toml"


@cache
def starter_text() -> str:
    """The text of the built-in rules; it comes with the program."""
    return (files("sources.mapping") / STARTER_FILE).read_text("utf-8")
