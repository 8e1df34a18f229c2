"""What any JSON writer and PostgreSQL can hold: texts without NUL and lone surrogates, numbers of any size exactly. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with U+FFFD for each character that cannot be held."""
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub("\ufffd", text)


def plain(value: Any) -> Any:
    """A JSON-like value with clean texts and keys; Decimals, and whole numbers beyond 64 bits, as strings: the value itself
    where it is so already. Raises RecursionError."""
    return value if _is_plain(value) else _plain(value)


def _is_plain(value: Any) -> bool:
    """Whether it is sure to need no change, found out by writing it: that is far faster than going through it, and most values
    are so."""
    try:
        return b"\\u0000" not in orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    # What a decoded answer holds is asked first: whether something is a Mapping takes long to find out.
    if value is None or (type(value) is int and abs(value) < 2**63):
        return value
    if type(value) is dict or isinstance(value, Mapping):
        return {clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) >= 2**63):
        return str(value)
    return value
