"""The invoice that is attached to a PDF (Factur-X, ZUGFeRD), taken out by a process that can be ended: see
`einvoice_pdf_process`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from sources.connectors.files_values import UnreadableFile, clean

SECONDS = 20.0
"""How long one PDF may take."""

_PROGRAM = Path(__file__).with_name("einvoice_pdf_process.py")
_MAX_REASON = 400
_ENDED = "reading it takes more time or memory than a PDF of its size may"


def is_pdf(data: bytes) -> bool:
    """Whether its header is where readers look for it."""
    return b"%PDF-" in data[:1024]


class PdfReader:
    """Reads one PDF after the other, in a process that is started by the first one. For one thread at a time."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def invoices(self, data: bytes) -> list[bytes]:
        """What is attached as an invoice, at least one. Raises UnreadableFile."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self._seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(len(data).to_bytes(8, "big"))
            process.stdin.write(data)
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            contents = [process.stdout.read(size) for size in answer.get("sizes", ())]
        except (OSError, ValueError) as error:
            self.stop()
            raise UnreadableFile(_ENDED) from error
        finally:
            timer.cancel()
        if "refused" in answer:
            raise UnreadableFile(clean(answer["refused"], _MAX_REASON) or _ENDED)
        if [len(each) for each in contents] != answer["sizes"]:
            self.stop()
            raise UnreadableFile(_ENDED)
        return contents

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def stop(self) -> None:
        """Ends the process; the next PDF starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not written is nobody's any more
