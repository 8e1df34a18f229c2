"""Documents that are submitted to the gateway itself: the way in for robots and in-house systems. There is nothing to pull."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sources.connectors.kinds import ConnectorKind
from sources.documents import Page, Payslip

_CURSOR = "submitted"


class SubmittedConnector:
    """A source whose documents come by the mutation `submitDocuments`."""

    def __init__(self, *, name: str) -> None:
        self._name = name

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Nothing: what was submitted is held."""
        yield Page(documents=(), cursor=_CURSOR, complete=True)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: payslips come with their run."""
        return None

    async def close(self) -> None:
        """There is nothing to release."""


KIND = ConnectorKind(
    name="submitted",
    connector=SubmittedConnector,
    gives=("invoice", "payment", "payroll_run", "bank_statement"),
    takes_submissions=True,
)
