"""`make fuzz TIME=60`: every parser of files under atheris for so many seconds each, or the one named: python -m tests.fuzz camt 600.

Coverage-guided, with the harness's files to begin with, changed byte by byte and piece by piece (`mutating`). A crash, an input that takes over ten seconds and one that takes more than
MEMORY megabytes end a run; the input is kept in `.fuzz/`, and `python -m tests.fuzz camt .fuzz/crash-…` repeats it. Atheris has
wheels for Linux alone, and is no dependency: `make fuzz` installs it.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".fuzz")
MEMORY = 1_500
LONGEST = 20_000
"""Bytes of an input."""


def fuzz(name: str, *arguments: str) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["sources", "mt940"]):
        from sources.connectors.files_values import UnreadableFile
        from tests.fuzz.parsers import HARNESSES
    logging.disable(logging.CRITICAL)
    from tests.fuzz.mutating import mutator

    harness = HARNESSES[name]

    def once(data: bytes) -> None:
        try:
            harness.parse(data)
        except UnreadableFile as refused:
            if not str(refused).strip():
                raise RuntimeError("a refusal without a reason") from refused

    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(harness.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY}", "-timeout=10", f"-artifact_prefix={FOLDER}/"]
    atheris.Setup(
        [sys.argv[0], *limits, *(arguments if arguments[0].startswith(".") else [*arguments, str(corpus)])],
        once,
        custom_mutator=mutator(lambda data, most: atheris.Mutate(data, most)),  # noqa: PLW0108 - Mutate is there only once Fuzz runs
    )
    atheris.Fuzz()


def main() -> int:
    """With a name: that one, in this process. Without: each in a process of its own."""
    match sys.argv[1:]:
        case [seconds] if seconds.isdecimal():
            from tests.fuzz.parsers import HARNESSES

            runs = {name: [sys.executable, "-m", "tests.fuzz", name, seconds] for name in HARNESSES}
            failed = [name for name, command in runs.items() if subprocess.run(command, check=False).returncode]
            print("failed: " + ", ".join(failed) if failed else "nothing was found")
            return bool(failed)
        case [name, seconds] if seconds.isdecimal():
            fuzz(name, f"-max_total_time={seconds}")
        case [name, file]:
            fuzz(name, file if file.startswith(".") else f"./{file}")
    print(__doc__)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
