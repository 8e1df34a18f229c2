"""Ten thousand malformed amounts and unbalanced entries over the wire: none is stored, each is refused with a typed reason."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.proof.processes import Client, Site, client, operation, sale, site

BATCH = 1_000
BATCHES = 6
SCALAR_BATCH = 250
SCALAR_BATCHES = 20
LITERALS = 60

Lines = list[dict[str, Any]]


@pytest.fixture
async def where(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def talk(where: Site) -> AsyncIterator[Client]:
    async with client(where.token()) as opened:
        await opened.found(where.gateways[0].url)
        yield opened


def two(debit: Any, credit: Any, **more: Any) -> Lines:
    return [{"account": "1000", "debit": debit, **more}, {"account": "4000", "credit": credit, **more}]


def refused_by_rule(number: int, chance: random.Random) -> tuple[str, Lines]:
    """Lines whose amounts are decimals, and the reason why they cannot be posted."""
    amount = f"{chance.randrange(1, 10**6)}.{chance.randrange(100):02}"
    other = f"{chance.randrange(10**6, 10**7)}.00"
    kinds: list[tuple[str, Lines]] = [
        ("INVALID_AMOUNT", two(f"{amount}{chance.randrange(1, 10)}", amount)),
        ("INVALID_AMOUNT", two(f"-{amount}", f"-{amount}")),
        ("INVALID_AMOUNT", two("0.00", "0")),
        ("INVALID_AMOUNT", two(amount, amount, currency="JPY", functionalAmount=amount.replace(".", "1."))),
        ("INVALID_AMOUNT", two(amount, amount, functionalAmount=other)),
        ("AMOUNT_OUT_OF_RANGE", two("10000000000000.01", "10000000000000.01")),
        ("AMOUNT_OUT_OF_RANGE", two("9" * 40, "9" * 40)),
        ("UNBALANCED", two(amount, other)),
        ("UNBALANCED", two(amount, amount)[:1] * 2),
        ("UNBALANCED", two(amount, other, currency="EUR", functionalAmount="5.00")),
        ("UNBALANCED", [two("7", "7", currency="EUR", functionalAmount=other)[0], two(amount, amount)[1]]),
        ("INVALID_LINE", [{"account": "1000", "debit": amount, "credit": amount}, two(amount, amount)[1]]),
        ("INVALID_LINE", [{"account": "1000"}, two(amount, amount)[1]]),
        ("FUNCTIONAL_AMOUNT_REQUIRED", two(amount, amount, currency="EUR")),
        ("UNKNOWN_CURRENCY", two(amount, amount, currency="EURO")),
        ("TOO_FEW_LINES", two(amount, amount)[:1]),
        ("TOO_FEW_LINES", []),
    ]
    code, lines = kinds[number % len(kinds)]
    if "JPY" in str(lines) and amount.endswith(".00"):
        lines[0]["debit"] = amount.replace(".00", ".01")
    return code, lines


def no_decimal(number: int, chance: random.Random) -> Any:
    """A JSON value that no amount may be stated as."""
    digits = str(chance.randrange(1, 10**6))
    return [
        float(digits) + 0.5, f"{digits}e1", f"+{digits}", f" {digits}", f"{digits} ", f"{digits},5", f"{digits}.", f".{digits}",
        "NaN", "Infinity", "-Infinity", "", "-", f"--{digits}", f"1_{digits}", f"0x{digits}", "\u0663", "\u2212" + digits,
        "\uff11", f"{digits}\n", "1" * 41, "0." + "0" * 41, True, [], {}, [[digits]], {"value": digits}, 10**40, 1e300,
        f"{digits}.5.5", f"${digits}", "null",
    ][number % 32]  # fmt: skip


def literal(number: int, chance: random.Random) -> str:
    """A GraphQL literal that no amount may be stated as."""
    digits = str(chance.randrange(1, 10**6))
    return [
        f"{digits}e1",
        f"{digits}.5E2",
        f'"{digits}e1"',
        '"NaN"',
        "true",
        "EUR",
        '" 1"',
        '"+1"',
        f"[[{digits}]]",
        "{}",
    ][number % 10]


async def state(talk: Client, url: str) -> dict[str, Any]:
    query = '{ ledger(code: "us") { postingCursor lastSequence } trialBalance(ledger: "us") { totalDebit rows { closing } } }'
    return await talk.data(url, query)


async def test_none_of_ten_thousand_is_posted(where: Site, talk: Client) -> None:
    """Half of them are decimals that the rules refuse, one by one; half are no decimals, for which a request is refused whole,
    with whatever good entries it holds. The ledger is as before, and every refused key is free."""
    url = where.gateways[0].url
    chance = random.Random(20261122)
    await talk.data(url, operation("post-entries"), input={"entries": [sale("before")]})
    before = await state(talk, url)
    assert before["ledger"]["lastSequence"] == 1
    tried = 0
    for batch in range(BATCHES):
        tried += await refuse_by_rules(talk, url, batch, chance)
    for batch in range(SCALAR_BATCHES):
        tried += await refuse_variables(talk, url, batch, chance)
    for number in range(LITERALS):
        await refuse_literal(talk, url, literal(number, chance))
        tried += 1
    assert tried >= 10_000
    assert await state(talk, url) == before
    keys = [f"rule 0 {number}" for number in range(40)] + [f"scalar 0 {number}" for number in range(40)]
    again = await talk.data(url, operation("post-entries"), input={"entries": [sale(key) for key in keys]})
    assert [result["entry"]["sequence"] for result in again["postEntries"]["results"]] == list(range(2, 82))


async def refuse_by_rules(talk: Client, url: str, batch: int, chance: random.Random) -> int:
    """How many were refused, each with the reason that is its own and a path to what is wrong."""
    stated = [refused_by_rule(number, chance) for number in range(BATCH)]
    entries = [sale(f"rule {batch} {number}", lines=lines) for number, (_, lines) in enumerate(stated)]
    answer = await talk.data(url, operation("post-entries"), input={"entries": entries, "atomic": batch == 1})
    results = answer["postEntries"]["results"]
    for (code, lines), result in zip(stated, results, strict=True):
        assert result["__typename"] == "EntryRejected", lines
        assert code in {reason["code"] for reason in result["reasons"]}, (lines, result)
        assert all(reason["message"] and (reason["path"][:1] or ["lines"]) == ["lines"] for reason in result["reasons"])
    return len(results)


async def refuse_variables(talk: Client, url: str, batch: int, chance: random.Random) -> int:
    """How many were refused: all entries of the request are malformed but one; or, in each fifth request, all but one are not."""
    entries = [sale(f"scalar {batch} {number}") for number in range(SCALAR_BATCH)]
    wrong = range(1, SCALAR_BATCH) if batch % 5 else [SCALAR_BATCH - 1]
    for number in wrong:
        entries[number]["lines"][number % 2]["debit" if number % 2 == 0 else "credit"] = no_decimal(number, chance)
    status, body = await talk.answer(url, operation("post-entries"), input={"entries": entries})
    assert (status, "data" in body) == (400, False)
    assert {error["extensions"]["code"] for error in body["errors"]} == {"BAD_USER_INPUT"}
    named = f"entries[{wrong[0]}].lines[{wrong[0] % 2}]"
    assert named in body["errors"][0]["message"], body["errors"][0]
    return len(wrong)


async def refuse_literal(talk: Client, url: str, text: str) -> None:
    query = f"""mutation {{ postEntry(input: {{ledger: "us", idempotencyKey: "l", effectiveDate: "2026-03-15", description: "x",
      lines: [{{account: "1000", debit: {text}}}, {{account: "4000", credit: {text}}}]}}) {{ __typename }} }}"""
    status, body = await talk.answer(url, query)
    assert (status, body["errors"][0]["extensions"]["code"]) == (400, "GRAPHQL_VALIDATION_FAILED"), (text, body)
