"""Who the books are with: customers and suppliers, their names as they write them and as banks do, and the phrases of their transfers."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

_WORDS = [
    "North", "South", "Harbour", "Alpine", "Silver", "Green", "Blue", "Iron", "Maple", "River", "Stone",
    "Bright", "Prime", "United", "Central", "Atlas", "Nova", "Delta", "Orion", "Vega", "Cedar", "Falcon",
    "Granite", "Summit", "Baltic", "Nordic", "Amber", "Coral", "Crimson", "Golden", "Pacific", "Royal",
    "Sunset", "Urban", "Vertex", "Zenith", "Müller", "Schäfer", "Weiß", "Köhler", "Dubois", "Lefèvre", "Rossi",
    "Jansen", "Novák", "Larsen",
]  # fmt: skip
_TRADES = [
    "Logistics", "Foods", "Systems", "Design", "Textiles", "Machines", "Consulting", "Media", "Energy",
    "Health", "Print", "Tools", "Travel", "Motors", "Labs", "Studios",
]  # fmt: skip
_FORMS = ("GmbH", "AG", "Ltd", "Inc.", "B.V.", "S.A.", "KG", "LLC")
_UNWRITTEN = {"GMBH", "AG", "LTD", "INC", "KG", "LLC"}
_GIVEN = ["Anna", "Jonas", "Mia", "Lukas", "Emma", "Paul", "Lea", "Felix", "Clara", "Max", "Nora", "Emil"]
_SWAPS = str.maketrans({"ü": "ue", "ä": "ae", "ö": "oe", "ß": "ss", "é": "e", "è": "e", "á": "a"})
PHRASES = (
    "{}",
    "Invoice {}",
    "Payment for invoice {}",
    "RE {} vom {day}",
    "Rg.Nr. {} Kd.Nr. {customer}",
    "{} / customer {customer}",
    "Our order {order}, your invoice {}",
    "SEPA transfer {} thank you",
)


@dataclass(frozen=True, slots=True)
class Partner:
    """`form`: which of several forms the numbers of its bills have."""

    name: str
    number: str
    iban: str
    form: int


def partner(chance: random.Random, number: int) -> Partner:
    """A company, or one in seven a person."""
    name = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {chance.choice(_TRADES)} {chance.choice(_FORMS)}"
    if chance.random() < 0.15:
        name = f"{chance.choice(_GIVEN)} {chance.choice(_WORDS)}"
    return Partner(name, str(70_000 + number), _iban(chance), chance.randrange(4))


def bank_name(chance: random.Random, name: str) -> str | None:
    """As a bank writes it: in capitals, without umlauts, cut off, or not at all."""
    way = chance.random()
    if way < 0.05:
        return None
    if way < 0.45:
        name = name.upper()
    if way < 0.35:
        name = name.lower().translate(_SWAPS).upper()
    if way < 0.25:
        name = " ".join(word for word in name.split() if word.rstrip(".").upper() not in _UNWRITTEN)
    return name[:27] if way < 0.6 else name


def end_to_end(chance: random.Random) -> str | None:
    """A payer's own reference, mostly none."""
    if chance.random() < 0.6:
        return "NOTPROVIDED"
    return "".join(chance.choice(string.ascii_uppercase + string.digits) for _ in range(chance.randint(8, 20)))


def _iban(chance: random.Random) -> str:
    """A German one, with its check digits (ISO 13616)."""
    number = "".join(chance.choices(string.digits, k=18))
    check = 98 - int(f"{number}131400") % 97
    return f"DE{check:02}{number}"
