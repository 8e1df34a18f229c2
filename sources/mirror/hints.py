"""What to do about a source's own issues, by code. Those of documents bring their own; a code that is absent says it in its message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_RECORD: Final = (
    "Correct the record in its source, or have it sent again: it is then read again, and the issue closes. If it is right as it is, its "
    "connector has to learn to read it."
)

HINTS: Final[Mapping[str, str]] = {
    "UNREADABLE_FILE": "Mend the file, have it sent again, or take it away: it is read again when it changes, and the issue closes. Where the "
    "message says that access is denied, give the gateway's user the right to read and move what lies in the folder.",
    "UNREADABLE_RECORD": _RECORD,
    "INEXACT_AMOUNT": _RECORD,
    "AMOUNT_OUT_OF_RANGE": _RECORD,
    "UNKNOWN_CURRENCY": _RECORD,
    "PAYSLIP_DOES_NOT_ADD_UP": "Correct the payslip: net = gross - taxes - deductions + reimbursements.",
}
