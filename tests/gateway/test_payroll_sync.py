"""`ledgergraph sync` of a payroll: it posts what it read, payslips too, before it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.demo.servers.xero_payroll import PREFIX
from sources.ledger import administration
from sources.ledger.model import AccountDraft
from tests.sources.connectors.test_xero_payroll import Xero, running
from tests.sources.pipeline.company import EVERYONE, opened
from tests.sources.pipeline.test_payroll_entries import ACCOUNTS, CUTOVER, RULES

SOURCES = f"""
[mapping]
acme-uk = "uk.toml"
[[sources]]
name = "payroll"
kind = "xero-payroll"
ledger = "acme-uk"
base_url = "{{url}}{PREFIX}"
client_id = "client"
client_secret = "env:XERO_SECRET"
tenant_id = "tenant"
post_from = {CUTOVER}
"""


@pytest.fixture
def xero(database_url: str, owner_url: str, background: Any) -> Iterator[Xero]:
    """A server with a year of payroll, and a ledger that has its accounts."""
    stack = AsyncExitStack()

    async def open_all() -> Xero:
        async with opened(database_url, owner_url, code="acme-uk", currency="GBP") as company:
            drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in dict(ACCOUNTS.values()).items()]
            await administration.create_accounts(company.database, EVERYONE, ledger="acme-uk", accounts=drafts)
        return await stack.enter_async_context(running())

    yield background.run(open_all())
    background.run(stack.aclose())


def test_a_sync_posts_runs_by_their_payslips(
    xero: Xero, owner_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("uk.toml").write_text(RULES)
    Path("sources.toml").write_text(SOURCES.format(url=xero.url))
    due = [
        run
        for run in xero.runs.values()
        if run["payRunStatus"] == "Posted" and max(run["periodEndDate"], run["paymentDate"]) >= str(CUTOVER)
    ]
    runner = CliRunner(env={"LEDGERGRAPH_DATA_DIR": None, "LEDGERGRAPH_CONFIG": None, "XERO_SECRET": "s%cret:é"})
    for entries in (2 * len(due), 0):
        found = runner.invoke(main, ["sync", "payroll", "--config", "sources.toml", "--database-url", owner_url])
        assert found.exit_code == 0, found.output
        assert f"payroll: {entries} entries and 0 reversals posted" in found.output, found.output
    assert xero.asked.count("/Payslips") == len(due)
