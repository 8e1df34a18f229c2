"""Changes files as their formats are made: whole elements, fields and records are left out, doubled, moved, or get another value.
Bytes changed anywhere seldom get behind the first check of a parser."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

PIECES = re.compile(rb"<[^<>]*>|:[0-9]{2}[A-Z]?:|[?][0-9]{2}|/[A-Z]{4}/|[,;/\n]|[^<>:?,;/\n]+|.", re.DOTALL)
"""What files are made of, whichever format: tags, marks of fields and subfields, signs between values, values."""

VALUES: Sequence[bytes] = (
    b"", b"0", b"-1", b"1,", b",5", b"0.005", b"-0.00", b"1e9", b"+7", b"9" * 19, b"9" * 400, b"NaN", b"\xc2\xa0", b"\xd9\xa1", b"1 000",
    b"00000000", b"20260230", b"20240229", b"99991231", b"0001-01-01", b"2026-03-02T24:00:00Z", b"260230", b"800101", b"EUR", b"JPY", b"BHD",
    b"XXX", b"eur", b"CRDT", b"DBIT", b"true", b"RC", b"RD", b"EC", b"S", b"V", b"D", b"NONREF", b"DE89370400440532013000", b"\xff", b"\0",
    b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"&#0;", b"&#xD800;", b"&amp;", b"]]>", b"<![CDATA[", b"<!--", b"<a/>", b"\r", b"\r\n", b"\n", b'"',
    b"%", b"/", b":61:", b"88,", b"16,", b"a" * 5_000,
)  # fmt: skip

_MOST = 6


def mutator(changed: Callable[[bytes, int], bytes]) -> Callable[[bytes, int, int], bytes]:
    """For libFuzzer: half of all changes are made by pieces, the others by `changed` (data, largest size)."""

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5 or not data:
            return changed(data, most)
        return in_pieces(data, chance)[:most]

    return mutated


def in_pieces(data: bytes, chance: random.Random) -> bytes:
    """Some pieces changed."""
    pieces = PIECES.findall(data)
    for _ in range(chance.randint(1, _MOST)):
        at = chance.randrange(len(pieces) + 1)
        end = min(len(pieces), at + int(chance.paretovariate(1)))
        other = chance.randrange(len(pieces) + 1)
        match chance.randrange(5):
            case 0:
                pieces[at:end] = []
            case 1:
                pieces[at:end] = pieces[at:end] * 2
            case 2:
                pieces[at:end] = [chance.choice(VALUES)]
            case 3:
                pieces[other:other] = pieces[at:end]
            case _:
                pieces[at:at] = [chance.choice(VALUES)]
    return b"".join(pieces)
