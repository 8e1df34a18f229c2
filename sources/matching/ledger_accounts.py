"""Ledger accounts that people state, checked before anything is decided: what posting would refuse is neither matched nor taught."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sources.errors import InvalidArgument
from sources.ledger.model import Reason, RejectionCode
from sources.matching.model import Allocation

if TYPE_CHECKING:
    from sources.database.pool import Connection


class AccountsRefused(InvalidArgument):
    """Allocations go to ledger accounts that take no such lines. `reasons`: of each, in order, by its place among the allocations."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        super().__init__("; ".join(reason.message for reason in reasons))
        self.reasons = tuple(reasons)


async def check(connection: Connection, ledger_id: int, currency: str, parts: Sequence[Allocation]) -> None:
    """Money in `currency` is booked on the ledger accounts that these allocations name. Raises AccountsRefused with the reasons for
    which posting would refuse it."""
    stated = [(at, part.key.external_id) for at, part in enumerate(parts) if part.key.kind == "account"]
    if not stated:
        return
    rows = await connection.fetch(_ACCOUNTS, ledger_id, sorted({code for _, code in stated}))
    known = {row["code"]: row for row in rows}
    reasons = [why for at, code in stated if (why := _refusal(at, code, known.get(code), currency))]
    if reasons:
        raise AccountsRefused(reasons)


def _refusal(at: int, code: str, account: Any, currency: str) -> Reason | None:
    path = ("allocations", str(at), "ledgerAccount")
    if account is None:
        message = f"there is no ledger account {code[:63]!r}; create it or name another"
        return Reason(RejectionCode.UNKNOWN_ACCOUNT, message, path)
    if not account["active"]:
        message = f"the ledger account {code!r} is inactive; activate it or name another"
        return Reason(RejectionCode.INACTIVE_ACCOUNT, message, path)
    if account["currency"] not in (None, currency):
        message = f"the ledger account {code!r} takes {account['currency']} only, not {currency}; name another account"
        return Reason(RejectionCode.CURRENCY_MISMATCH, message, path)
    return None


_ACCOUNTS: Final = "SELECT code, active, currency FROM ledger.account WHERE ledger_id = $1 AND code = ANY($2::text[])"
