"""The memory of an import: `ledgergraph import` of a large file, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.books import DAYS, FIRST_DAY
from benchmarks.surroundings import ROOT

_LOOK_SECONDS = 0.1
_ENTRY_BYTES = 330


async def peak_of_import(directory: Path, size: int) -> tuple[int, int]:
    """The file's bytes, and the most bytes in memory of the importing process. Raises RuntimeError when it fails."""
    file = directory / "import.csv"
    _write(file, size // _ENTRY_BYTES)
    options = [
        "--ledger",
        "imported",
        "--create-ledger",
        "USD",
        "--create-accounts",
        "--data-dir",
        str(directory / "imported"),
    ]
    command = [sys.executable, "-m", "gateway.cli", "import", str(file), *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL)
    peak = 0
    try:
        while process.returncode is None:
            peak = max(peak, _held(process.pid))
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the import ended with {process.returncode}")
    return file.stat().st_size, peak


def _held(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _write(file: Path, entries: int) -> None:
    """Entries of four lines."""
    with file.open("w") as out:
        out.write("entry,date,description,account,debit,credit,currency,account_type,reference\n")
        for number in range(entries):
            day = FIRST_DAY + timedelta(days=number * DAYS // entries)
            start = f"E-{number},{day},Invoice {number * 7_919 % 100_000} of customer {number % 900}"
            for place, (debit, credit) in enumerate((("10.25", ""), ("11.25", ""), ("12.25", ""), ("", "33.75"))):
                kind = "EXPENSE" if debit else "LIABILITY"
                account = 1_000 + (number * 7 + place) % 200 if debit else 2_000 + number % 20
                out.write(f"{start},{account},{debit},{credit},USD,{kind},R-{number}\n")
