"""The rules and rates by which documents of the sample company become entries."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from gateway.demo.bookkeeper import POSTED_BY
from gateway.demo.company import ENTITIES, EU, US
from gateway.openbooks import Books
from sources.mapping.rates import DEFAULT_TYPE, Quote
from sources.pipeline import rates, rulesets
from sources.pipeline.taking import see

RULES_FOLDER = "rules"
COMPLETED = f"{US.code}-with-contributions.toml"
"""The rules of the American ledger with the one that its first rules lack."""

_HERE = Path(__file__).parent / "rules"


def write_rules(data_dir: Path) -> None:
    """The rules of each ledger, for people to read and change, and those with the rule that is missing; what is there stays."""
    folder = data_dir / RULES_FOLDER
    folder.mkdir(exist_ok=True)
    texts = {f"{entity.code}.toml": _text(entity.code) for entity in ENTITIES}
    texts[COMPLETED] = _text(US.code) + _text("contributions")
    for name, text in texts.items():
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")


async def provide_rules(opened: Books) -> None:
    """Gives each ledger that has none its rules. Raises DatabaseUnavailable."""
    for ledger in (await opened.directory.resolve(entity.code for entity in ENTITIES)).values():
        async with opened.database.writer() as connection, connection.transaction():
            await see(connection, ledger.ledger_id)
            if await rulesets.active(connection, ledger.ledger_id) is not None:
                continue
            saved = await rulesets.save(
                connection,
                ledger.ledger_id,
                text=_text(ledger.code),
                name=f"{ledger.code}.toml",
                created_by=POSTED_BY,
            )
            await rulesets.activate(connection, ledger.ledger_id, saved.version)


async def provide_rates(opened: Books, on: date) -> None:
    """The prices of that day: those that the books begin with. Raises DatabaseUnavailable."""
    quotes = [
        Quote(currency, EU.currency, DEFAULT_TYPE, on, Decimal(price) / 10_000) for currency, price in EU.abroad.items()
    ]
    async with opened.database.writer() as connection:
        await rates.set_rates(connection, quotes, POSTED_BY)


def _text(name: str) -> str:
    return (_HERE / f"{name}.toml").read_text(encoding="utf-8")
