"""docs/beginning.md, pasted from its first command to its last: books of one's own that tie out."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.processes import PATIENCE, ROOT, Running, ask, environment, started, until

GUIDE = (ROOT / "docs" / "beginning.md").read_text()
PASTED = re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
SERVE = "ledgergraph serve --config settings.toml &\n"
WAITING = """{ unmatchedTransactions(ledger: "acme") { nodes { transaction { description } } }
  account(ledger: "acme", code: "1100") { functionalBalance } }"""

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="bash, curl or python3 is missing"
)


class Person:
    """Who follows the guide in an empty folder, with `ledgergraph` on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "books"
        self.folder.mkdir()
        commands = folder / "bin"
        commands.mkdir()
        (commands / "ledgergraph").write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gateway.cli "$@"\n'
        )
        (commands / "ledgergraph").chmod(0o755)
        self.variables = environment(PATH=f"{commands}:{environment()['PATH']}")
        self.said = ""

    async def paste(self, text: str) -> str:
        """What the commands print on standard output. What they say besides is in `said`."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", text),
            cwd=self.folder,
            env=self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
        self.said = errors.decode()
        assert process.returncode == 0, self.said
        return output.decode()


@pytest.fixture
async def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.fixture
async def serving(person: Person) -> AsyncIterator[Running]:
    """The guide up to the gateway, which serves on any free port."""
    at = PASTED.index(SERVE)
    ledger, rules, sources, check = PASTED[:at]
    assert await person.paste(ledger) == "opening.csv -> acme: 1 posted, 0 replayed, 0 refused\n"
    await person.paste(rules + sources)
    shown = await person.paste(check)
    assert ("3 transactions" in shown, "1500.00 EUR  1 payslip" in shown) == (True, True)
    arguments = ("serve", "--config", person.folder / "settings.toml", "--data-dir", person.folder / ".ledgergraph")
    async with started(*arguments, "--port", "0") as running:
        yield running
        await running.stop()


def answers(text: str) -> list[Any]:
    """The data of the JSON answers that were printed one behind the other."""
    found: list[Any] = []
    while "{" in text:
        text = text[text.index("{") :]
        answer, end = json.JSONDecoder().raw_decode(text)
        found.append(answer["data"])
        text = text[end:]
    return found


async def test_the_guide_leads_to_books_that_tie_out(person: Person, serving: Running) -> None:
    submit, look, close = PASTED[PASTED.index(SERVE) + 1 :]
    address = (await serving.address()).removesuffix("/graphql")
    setting_up = submit.replace("http://127.0.0.1:8000", address).partition("ask 'mutation")[0]
    token = (await person.paste(setting_up + 'echo "$TOKEN"')).strip()

    async def waits_for(descriptions: list[str], clearing: str) -> None:
        async def is_so() -> bool:
            found: Any = await ask(f"{address}/graphql", token, WAITING)
            told = [each["transaction"]["description"] for each in found["unmatchedTransactions"]["nodes"]]
            return (told, found["account"]["functionalBalance"]) == (descriptions, clearing)

        await until(is_so)

    (submitted,) = answers(await person.paste(submit.replace("http://127.0.0.1:8000", address)))
    assert [each["outcome"] for each in submitted["submitDocuments"]["results"]] == ["NEW"] * 3
    await waits_for(["Account fee"], "4.90")
    looked = await person.paste(setting_up + look)
    assert "0 open issues" in person.said
    assert '"matchManually":{"match":{"status":"CONFIRMED"}}' in looked
    await waits_for([], "0.00")
    trial, bank, reconciled, locked = answers(await person.paste(setting_up + close))
    assert trial["trialBalance"]["totalDebit"] == trial["trialBalance"]["totalCredit"]
    (account,) = bank["bankAndBooks"]["reconciliations"]
    assert account["bankBalance"] == account["booksBalance"] == "4685.10"
    totals = reconciled["reconciliation"]["totals"] + [
        total for each in reconciled["reconciliation"]["subledgers"] for total in each["totals"]
    ]
    assert [each["difference"] for each in totals] == ["0.00"] * 3
    assert locked["lockPeriods"]["__typename"] == "LedgerSaved"
