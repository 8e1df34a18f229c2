"""`ledgergraph map`, `sources`, `sync` and `rates` as people meet them: what they say, and their exit status."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import opened, rules

INVOICE = Kit.invoice("in_1", number="1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
Run = Callable[..., Result]


@pytest.fixture
def command(owner_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, url: str = owner_url) -> Result:
        runner = CliRunner(env={"LEDGERGRAPH_DATA_DIR": None, "LEDGERGRAPH_CONFIG": None})
        return runner.invoke(main, [*arguments, "--database-url", url])

    return run


@pytest.fixture
def stated(database_url: str, owner_url: str, background: Any) -> None:
    """A source has stated three invoices: one is posted, one is from before the cut-over, one has a status that no rule takes."""

    async def state() -> None:
        async with opened(database_url, owner_url) as company:
            await company.state(INVOICE, Kit.invoice("early", issue_date=date(2025, 1, 1)))
            await company.look()
            await company.state(Kit.invoice("odd", number="2", source_status="?", status=Kit.invoice().status))

    background.run(state())


@pytest.fixture
def waiting(database_url: str, owner_url: str, background: Any) -> None:
    """Two invoices that no rule takes."""

    async def state() -> None:
        async with opened(database_url, owner_url) as company:
            await company.use_rules(rules().replace('status = ["OPEN", "PAID"]', 'status = "UNCOLLECTIBLE"'))
            await company.state(INVOICE, Kit.invoice("in_2", issue_date=date(2026, 3, 10)))
            await company.look()

    background.run(state())


def test_a_dry_run_tells_what_would_become_of_each_document(command: Run, stated: None, tmp_path: Path) -> None:
    """What stays as it is, is counted alone, unless all are asked for."""
    file = tmp_path / "other.toml"
    file.write_text(rules(revenue="4100"))
    found = command("map", "--dry-run", "--ledger", "acme-us", "--file", "other.toml")
    assert found.exit_code == 0, found.output
    assert (
        "REPLACES billing invoice in_1\n  - invoice 2026-03-10: reverses entry 1 of 2026-03-10 by the rule sale"
        in found.output
    )
    assert "+ invoice 2026-03-10, by the rule sale: Invoice 1\n      1100         debit  11.90 USD" in found.output
    assert "early" not in found.output
    assert found.output.endswith("acme-us: 3 documents: 1 HELD (BEFORE_CUTOVER), 1 POSTS, 1 REPLACES\n")
    everything = command("map", "--dry-run", "--ledger", "acme-us", "--all")
    assert "HELD     billing invoice early: BEFORE_CUTOVER: " in everything.output
    assert "UNCHANGED billing invoice in_1" in everything.output
    file.write_text(rules(revenue="4999"))
    refused = command("map", "--dry-run", "--ledger", "acme-us", "--file", "other.toml", "--quiet")
    assert (refused.exit_code, refused.output) == (
        1,
        "acme-us: 3 documents: 1 HELD (BEFORE_CUTOVER), 2 ISSUE (UNKNOWN_ACCOUNT)\n",
    )


def test_accounts_that_the_ledger_does_not_have_are_told(command: Run, stated: None, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(rules(revenue="4999").replace("[[rules]]", '[tables.more]\n"7" = { code = "cash" }\n\n[[rules]]', 1)
                    .replace('account = "1000"', 'account = { table = "more", key = "number" }'))  # fmt: skip
    for arguments in ((), ("--dry-run",)):
        found = command("map", "--ledger", "acme-us", "--file", "other.toml", *arguments)
        assert found.stderr.splitlines() == [
            "acme-us has no open account 4999 (accounts.revenue): create it, or name another",
            "acme-us has no open account cash (tables.more.7): create it, or name another",
        ]


def test_rules_that_are_stored_are_active(command: Run, stated: None, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(rules(revenue="4100"))
    found = command("map", "--ledger", "acme-us", "--file", "other.toml")
    assert (found.exit_code, found.output) == (0, "acme-us: version 2 of the rules is active\n")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("map", "--dry-run", "--ledger", "nope"), 2, "There is no ledger nope."),
        (
            ("map", "--dry-run", "--ledger", "acme-us", "--source", "nope"),
            2,
            "no source nope that posts; there are billing.",
        ),
        (("map", "--ledger", "acme-us", "--quiet"), 2, "--quiet: only together with --dry-run"),
        (("map", "--ledger", "acme-us"), 2, "--file: name the rules"),
        (("map", "--ledger", "acme-us", "--file", "none.toml"), 2, "none.toml: cannot be read"),
        (("sync", "nope"), 2, "There is no source nope; there are none: see --config."),
        (("sources", "--config", "bad.toml"), 2, "bad.toml: must be TOML"),
        (("rates", "import", "none.csv"), 2, "none.csv: cannot be read"),
        (("rates", "import", "bad.toml"), 2, "bad.toml: line 1: the columns must be"),
    ],
)
def test_what_cannot_work_is_told_in_a_sentence(
    command: Run, stated: None, tmp_path: Path, arguments: tuple[str, ...], status: int, told: str
) -> None:
    (tmp_path / "bad.toml").write_text("[[sources]\n")
    found = command(*arguments)
    assert (found.exit_code, "Traceback" in found.output) == (status, False)
    assert told in found.output


def test_a_database_that_does_not_answer_is_told(command: Run, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("date,base,quote,rate\n2026-01-02,EUR,USD,1.1\n")
    (tmp_path / "s.toml").write_text('[[sources]]\nname = "b"\nkind = "bank-statements"\nledger = "us"\npath = "."\n')
    for arguments in (
        ("map", "--dry-run", "--ledger", "acme-us"),
        ("sources", "--config", "s.toml"),
        ("sync", "b", "--config", "s.toml"),
        ("rates", "import", "rates.csv"),
    ):
        found = command(*arguments, url="postgresql://nobody@127.0.0.1:1/books")
        assert (found.exit_code, found.output) == (
            1,
            "Error: The database does not answer; check its address and that it runs.\n",
        )


def test_the_banks_zipped_history_is_stored_with_its_gaps(command: Run, tmp_path: Path) -> None:
    """As the ECB publishes it: the newest day first, N/A where a currency had no rate, a comma at each line's end."""
    lines = "Date,USD,GBP,CYP,\n2026-01-05,1.1,0.85,N/A,\n2026-01-02,1.2,N/A,0.5,\n"
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        file.writestr("eurofxref-hist.csv", lines)
    (tmp_path / "eurofxref-hist.zip").write_bytes(archive.getvalue())
    found = command("rates", "import", "eurofxref-hist.zip")
    assert (found.exit_code, found.output) == (
        0,
        "eurofxref-hist.zip: 3 rates, 3 of them new or changed, currencies passed over: CYP\n",
    )


class TestIssues:
    def test_each_is_told_with_what_to_do(self, command: Run, stated: None) -> None:
        assert command("issues").exit_code == 0
        assert command("issues").output == "0 open issues\n"

    def test_those_of_one_cause_stand_together(self, command: Run, waiting: None) -> None:
        found = command("issues", "--ledger", "acme-us", "--source", "billing")
        assert found.exit_code == 1
        heading, first, second, hint, count = found.output.splitlines()
        assert heading == "NO_RULE of billing in acme-us"
        assert first.startswith("  invoice in_1: no rule of test.toml takes this invoice")
        assert second.startswith("  invoice in_2: no rule of test.toml takes this invoice")
        assert hint.startswith("    -> Add a rule for kind")
        assert count == "2 open issues"

    def test_the_first_ones(self, command: Run, waiting: None) -> None:
        found = command("issues", "--most", "1", "--json")
        line, count = found.output.splitlines()
        assert {key: json.loads(line)[key] for key in ("ledger", "source", "code", "subject")} == {
            "ledger": "acme-us",
            "source": "billing",
            "code": "NO_RULE",
            "subject": "invoice in_1",
        }
        assert count == "2 open issues; the first 1 are shown"

    @pytest.mark.parametrize("other", [("--ledger", "other"), ("--source", "other"), ("--code", "MISSING_RATE")])
    def test_others_are_left_out(self, command: Run, waiting: None, other: tuple[str, str]) -> None:
        assert command("issues", *other).exit_code == 0

    def test_those_that_are_muted_bother_nobody(
        self, command: Run, waiting: None, owner_url: str, background: Any
    ) -> None:
        async def mute() -> None:
            owner = await asyncpg.connect(owner_url)
            await owner.execute(
                "UPDATE mirror.issue SET muted_until = now() + interval '1 day' WHERE external_id = 'in_1'"
            )
            await owner.close()

        background.run(mute())
        assert command("issues").output.splitlines()[-1] == "1 open issue"


@pytest.mark.parametrize(
    "arguments",
    [
        ("issues",),
        ("verify", "--ledger", "acme-us"),
        ("token", "--subject", "me"),
        ("map", "--dry-run", "--ledger", "acme-us"),
    ],
)
def test_what_asks_no_source_needs_none_of_its_secrets(
    command: Run, stated: None, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    config = tmp_path / "sources.toml"
    config.write_text('[[sources]]\nname = "billing"\nkind = "stripe"\nledger = "acme-us"\napi_key = "env:NOT_SET"\n')
    assert command(*arguments, "--config", str(config)).exit_code == 0
    told = command("sources", "--config", str(config))
    assert (told.exit_code, "NOT_SET, which is not set" in told.output) == (2, True)
