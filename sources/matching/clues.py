"""What of a bank's text, or a document's number, may be the same thing: keys that are equal however either is written. Pure.

A text is cut into runs of letters and runs of digits, without accents, case and punctuation. A document's number gives one key of
all its runs, one of its digits, and one of its last digits; a bank's text one of every few runs that stand together. So
"INV-2026/00123" meets "inv 2026 00123", "2026-00123" and "Rg. 123". References with a check digit (ISO 11649, the Swiss QR
reference) are met with and without it, and a range ("1001-1005") by each number of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

MAX_TEXT: Final = 1_000
MAX_KEYS: Final = 120
"""Of one bank transaction."""
MAX_RANGE: Final = 50
MAX_KEY: Final = 40
_RUN: Final = re.compile(r"[A-Z]+|[0-9]+")
_NUMBER: Final = re.compile(r"[0-9]+")
_TOGETHER: Final = 6
_LEAST_DIGITS: Final = 3
_MARK: Final = 6
"""Letters that stand together in a number; longer ones are words beside it."""
_RANGE: Final = re.compile(r"(?<![0-9])(?=([0-9]{3,12})\s?(?:-|–|\.\.|BIS|TO|THRU|THROUGH)\s?([0-9]{1,12})(?![0-9]))")
_CREDITOR: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_QR: Final = re.compile(r"(?<![0-9])[0-9]{27}(?![0-9])")
_QR_CARRY: Final = (0, 9, 4, 6, 8, 2, 7, 1, 3, 5)
_PAYROLL: Final = re.compile(
    r"\b(?:SALA(?:RY|RIES|IRES?)?|PAYROLL|WAGES?|LOHN\w*|LOEHNE|GEHALT\w*|GEHAELTER|PAIE|NOMINA|STIPENDI\w*)\b"
)
_PARTIAL: Final = re.compile(
    r"\b(?:PART(?:IAL)?|TEILZAHLUNG|TEIL|INSTALL?MENT|RATE|ANZAHLUNG|DEPOSIT|ABSCHLAG|ACOMPTE|ON ACCOUNT)\b"
)


_LESS: Final = re.compile(r"\b(?:LESS|MINUS|CREDIT|DEDUCT\w*|GUTSCHRIFT\w*|ABZUEGL\w*|ABZGL|SKONTO|DISCOUNT|AVOIR)\b")


def plain(text: str | None) -> str:
    """Upper case, without accents, at most MAX_TEXT characters; what is no letter or digit stays."""
    stated = (text or "")[:MAX_TEXT].replace("ß", "SS").upper()
    if stated.isascii():
        return stated
    stated = stated.replace("Ä", "AE").replace("Ö", "OE").replace("Ü", "UE")
    return "".join(each for each in unicodedata.normalize("NFKD", stated) if not unicodedata.combining(each))


def runs(text: str) -> list[str]:
    return _RUN.findall(text)


@lru_cache(maxsize=1_000)
def words(text: str) -> frozenset[str]:
    """Runs of a text that is asked about many documents."""
    return frozenset(runs(text))


@lru_cache(maxsize=1_000)
def by_length(keys: frozenset[str]) -> Mapping[int, tuple[str, ...]]:
    """Keys of a text that is asked about many documents."""
    found: dict[int, tuple[str, ...]] = {}
    for key in keys:
        found[len(key)] = (*found.get(len(key), ()), key)
    return found


def has_runs(text: str, wanted: list[str]) -> bool:
    """Whether these runs stand together in a text."""
    found, size = runs(text), len(wanted)
    return any(found[at : at + size] == wanted for at in range(len(found) - size + 1))


def keys_of_number(number: str | None) -> set[str]:
    """The keys of a document's number."""
    found = runs(plain(number))
    digits = [run for run in found if run.isdigit()]
    if not digits:
        whole = "".join(found)
        return {whole} if 5 <= len(whole) <= MAX_KEY else set()
    candidates = {"".join(found), "".join(digits), digits[-1], digits[-1].lstrip("0")}
    if found[0] == "RF" and len(found) > 1:
        candidates.add("".join(found)[4:].lstrip("0"))
    return {key for key in candidates if _is_key(key)}


def keys_of_text(*texts: str | None) -> set[str]:
    """The keys of what a bank says of a transaction, at most MAX_KEYS."""
    found: dict[str, None] = {}
    for text in texts:
        stated = plain(text)
        for key in (*_references(stated), *_ranges(stated), *_together(runs(stated))):
            if _is_key(key) and len(found) < MAX_KEYS:
                found[key] = None
    return set(found)


def _is_key(key: str) -> bool:
    return len(key) <= MAX_KEY and sum(map(str.isdigit, key)) >= _LEAST_DIGITS


def _together(found: list[str]) -> Iterator[str]:
    """Of every few runs that stand together, the single ones first; digits without the zeros before them too."""
    for run in found:
        yield run
        if run[0] == "0":
            yield run.lstrip("0")
    for length in range(2, _TOGETHER + 1):
        for start in range(len(found) - length + 1):
            piece = found[start : start + length]
            if any(run.isdigit() for run in piece) and all(run.isdigit() or len(run) <= _MARK for run in piece):
                yield "".join(piece)


def _ranges(text: str) -> Iterator[str]:
    """Each number of "1001-1005", "1001 bis 1005" and "1001-05"."""
    for first, last in _RANGE.findall(text):
        whole = first[: len(first) - len(last)] + last if len(last) < len(first) else last
        if len(whole) == len(first) and int(first) < int(whole) <= int(first) + MAX_RANGE:
            for number in range(int(first), int(whole) + 1):
                yield str(number).zfill(len(first))
                yield str(number)


def _references(text: str) -> Iterator[str]:
    """ISO 11649 creditor references, and those of Swiss QR bills, without what they are checked by."""
    squeezed = text.replace(" ", "")
    for reference in _CREDITOR.findall(squeezed):
        for end in range(len(reference), 4, -1):
            if is_mod97(reference[:end]):
                yield reference[:end]
                yield reference[4:end].lstrip("0")
                break
    for reference in _QR.findall(squeezed):
        if _is_qr(reference):
            yield reference
            yield reference[:-1].lstrip("0")
            yield reference[6:-1].lstrip("0")


def is_mod97(code: str) -> bool:
    """Whether its check digits are right: ISO 7064 MOD 97-10, of ISO 13616 (IBAN) and ISO 11649: the first four characters count last."""
    moved = code[4:] + code[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97 == 1


def _is_qr(reference: str) -> bool:
    """Modulo 10 recursive, SIX Swiss Implementation Guidelines QR-bill, annex B."""
    carry = 0
    for digit in reference[:-1]:
        carry = _QR_CARRY[(carry + int(digit)) % 10]
    return (10 - carry) % 10 == int(reference[-1])


# ---------------------------------------------------------------- what words of a text say


def is_payroll(text: str) -> bool:
    return bool(_PAYROLL.search(text))


def is_partial(text: str) -> bool:
    return bool(_PARTIAL.search(text))


def is_less(text: str) -> bool:
    """Whether it says that something was taken off."""
    return bool(_LESS.search(text))


# ---------------------------------------------------------------- how much a key says


@lru_cache(maxsize=50_000)
def whole_keys(number: str | None) -> frozenset[str]:
    """Those keys of a document's number that leave out nothing but its letters, and that nothing else is likely to be written as:
    five characters, with letters or no day."""
    found = runs(plain(number))
    candidates = {"".join(found), "".join(run for run in found if run.isdigit())}
    if found[:1] == ["RF"]:
        candidates.add("".join(found)[4:].lstrip("0"))
    return frozenset(key for key in candidates if is_strong(key))


@lru_cache(maxsize=50_000)
def is_strong(key: str) -> bool:
    """Whether a text that has this key is likely to mean the document: five characters, three of them digits, and no day."""
    digits = sum(map(str.isdigit, key))
    return len(key) >= 5 and digits >= _LEAST_DIGITS and not (digits == len(key) and _is_day(key))


def _is_day(key: str) -> bool:
    """20260301, 01032026, 260301."""
    if len(key) == 8:
        return any(
            19 <= int(century) <= 20 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31
            for century, month, day in ((key[:2], key[4:6], key[6:]), (key[4:6], key[2:4], key[:2]))
        )
    return len(key) == 6 and 20 <= int(key[:2]) <= 35 and 1 <= int(key[2:4]) <= 12 and 1 <= int(key[4:]) <= 31


def is_near(key: str, other: str) -> bool:
    """Whether one typing mistake makes one of the other: a character more, less or other, or two neighbours swapped."""
    if key == other or abs(len(key) - len(other)) > 1 or min(len(key), len(other)) < 5:
        return False
    if key[:2] != other[:2] and key[-2:] != other[-2:]:
        return False
    if len(key) == len(other):
        differs = [at for at, (one, two) in enumerate(zip(key, other, strict=True)) if one != two]
        swapped = len(differs) == 2 and differs[1] == differs[0] + 1
        return len(differs) == 1 or (
            swapped and key[differs[0]] == other[differs[1]] and key[differs[1]] == other[differs[0]]
        )
    short, long = sorted((key, other), key=len)
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def outermost(keys: Iterable[str]) -> set[str]:
    """Those that are part of no other one: "1001" is not meant where "10012" is."""
    ordered = sorted(set(keys), key=len, reverse=True)
    kept: list[str] = []
    for key in ordered:
        if not any(key in longer for longer in kept):
            kept.append(key)
    return set(kept)


_NO_NAME: Final = frozenset(
    [
        "GMBH",
        "AG",
        "KG",
        "UG",
        "EK",
        "OHG",
        "GBR",
        "MBH",
        "SE",
        "INC",
        "LTD",
        "LLC",
        "LLP",
        "PLC",
        "CORP",
        "CORPORATION",
        "CO",
        "COMPANY",
        "LIMITED",
        "INCORPORATED",
        "SA",
        "SARL",
        "SAS",
        "SRL",
        "SPA",
        "BV",
        "NV",
        "AB",
        "AS",
        "OY",
        "APS",
        "PTY",
        "SP",
        "ZOO",
        "THE",
        "AND",
        "UND",
        "ET",
        "DR",
        "MR",
        "MRS",
        "MS",
        "HERR",
        "FRAU",
    ]
)


def party_name(name: str | None) -> str:
    """Words of a name in alphabetical order, without legal forms and initials: equal for "Acme Ltd." and "ACME LIMITED". "": no name."""
    words = re.findall(r"[A-Z0-9]+", plain(name).replace("&", " "))
    kept = [word for word in words if word not in _NO_NAME and (len(word) > 1 or word.isdigit())]
    return " ".join(sorted(set(kept or words)))[:200]


@lru_cache(maxsize=20_000)
def resemblance(name: str, other: str) -> int:
    """Of two `party_name`s. 2: the same; 1: one has all words of the other, most are the same, or but for a typing mistake; 0: not
    alike, or unknown. Where both have numbers, all of one's are among the other's: "Shop 1" is not "Shop 2"."""
    if not name or not other:
        return 0
    if name == other:
        return 2
    numbers, others = (set(_NUMBER.findall(each)) for each in (name, other))
    if not (numbers <= others or others <= numbers):
        return 0
    mine, theirs = set(name.split()), set(other.split())
    common = mine & theirs
    common |= {word for word in mine - common if len(word) > 4 and any(is_near(word, each) for each in theirs)}
    if not any(len(word) > 2 for word in common):
        return 0
    return 1 if len(common) >= min(len(mine), len(theirs)) or 2 * len(common) >= max(len(mine), len(theirs)) else 0
