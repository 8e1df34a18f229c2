"""The control totals of a BAI2 file's trailers, by which a file that was cut off or altered is known.

A total is the sum of all amounts within (of balances, totals and transactions alike), as they are signed in the file. Some banks
sum otherwise: without signs, with debits as negative, or transactions alone; any of these will do. A total of zero over amounts is
one that the bank does not compute. Counts tell less, and banks count differently: where the total holds, a count that does not is
a warning; where there is no total, it refuses the file as a wrong total does.
"""

from __future__ import annotations

from dataclasses import dataclass

from sources.connectors.bai2_entry import to_amount
from sources.connectors.bai2_records import Fields, Record
from sources.connectors.files_values import UnreadableFile


@dataclass(slots=True)
class Sums:
    """Of an account, a group or a file. `control`: its own control total, as stated where it is; `trailers`: the sum of those
    within; `members`: how many accounts or groups."""

    as_written: int = 0
    unsigned: int = 0
    netted: int = 0
    entries: int = 0
    entries_netted: int = 0
    control: int = 0
    trailers: int = 0
    members: int = 0
    records: int = 0

    def add_summary(self, amount: int) -> None:
        """An amount of a 03."""
        self.as_written += amount
        self.unsigned += abs(amount)
        self.netted += amount

    def add_entry(self, amount: int) -> None:
        """An amount of a 16, signed by its type code; it is written without a sign."""
        stated = abs(amount)
        self.as_written += stated
        self.unsigned += stated
        self.netted += amount
        self.entries += stated
        self.entries_netted += amount

    def add(self, within: Sums) -> None:
        """A member, when its trailer was checked."""
        for name in ("as_written", "unsigned", "netted", "entries", "entries_netted", "records"):
            setattr(self, name, getattr(self, name) + getattr(within, name))
        self.trailers += within.control
        self.members += 1

    @property
    def totals(self) -> tuple[int, ...]:
        """What a control total may be; first what it should be."""
        return (self.as_written, self.trailers, self.unsigned, self.netted, self.entries, self.entries_netted)


def check(record: Record, sums: Sums, currency: str, *, of: str, members: str | None) -> list[str]:
    """Warnings about counts. `sums` holds everything before the trailer `record`, whose own records are counted here; `members`:
    what the second field counts, None of an account. Raises UnreadableFile when the trailer says that something is missing."""
    sums.records += record.physical
    fields = Fields(record)
    text = fields.next()
    stated = to_amount(text, currency, record.where) if text else 0
    computed = bool(stated) or not sums.unsigned
    if stated and abs(stated) not in map(abs, sums.totals):
        raise UnreadableFile(
            f"{record.where}: the control total of the {of} is {stated}, but its amounts sum to {sums.as_written}: "
            "the file was cut off or altered"
        )
    wrong = []
    counts = [(members, sums.members)] if members else []
    for what, found in [*counts, ("records", sums.records)]:
        count = fields.next()
        if count.isascii() and count.isdigit() and int(count[:18]) not in (0, found):
            wrong.append(f"its trailer counts {int(count[:18])} {what}, and it has {found}")
    sums.control = stated or sums.as_written
    if wrong and not computed:
        raise UnreadableFile(
            f"{record.where}: the {of} has no control total, and {wrong[0]}: the file was cut off or altered"
        )
    return [f"the {of} on line {record.line}: {each}" for each in wrong]
