"""What the chapter on the limits reads and writes for other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pgbench import Pgbench, Statement
from benchmarks.profiles import read

RAW = """\
run_until_stopped (gateway/running.py:34);run_asgi (uvicorn/x.py:1);run (gateway/http.py:9);dumps (json/__init__.py:2) 6
run_until_stopped (gateway/running.py:34);run_asgi (uvicorn/x.py:1);run (gateway/http.py:8);fetch (asyncpg/connection.py:5) 3
run_until_stopped (gateway/running.py:34);run (uvloop/__init__.py:1) 1
_worker (concurrent/futures/thread.py:81) 50
"""


def test_samples_belong_to_the_nearest_code_that_has_a_group() -> None:
    """Other threads than the main one are left out."""
    found = read(RAW)
    assert found.samples == 10
    assert found.groups == [("HTTP endpoint", 0.6), ("driver", 0.3), ("event loop", 0.1)]
    assert found.frames[0] == ("dumps (json/__init__.py)", 0.6)


def test_statements_become_a_script_of_pgbench_s(tmp_path: Path) -> None:
    """Parameters get names of their own; a null and a cast stay SQL."""
    script = tmp_path / "q.sql"
    first = Statement("SELECT $1::bigint, $2 FROM x WHERE a = ANY($3) AND b = $10", (1, None, [1, 2], *"abcdef", "j"))
    Pgbench(tmp_path, script, [first, Statement("SELECT $1", (['a"b', None],))], 7)
    assert script.read_text() == (
        "SELECT :s0p1::bigint, NULL FROM x WHERE a = ANY(:s0p3) AND b = :s0p10;\nSELECT :s1p1;\n"
    )
    values = Pgbench(tmp_path, script, [first, Statement("SELECT $1", (['a"b', None],))], 7).values
    assert values == {"s0p1": "1", "s0p3": "{1,2}", "s0p10": "j", "s1p1": '{"a\\"b",NULL}'}


def test_a_statement_that_pgbench_would_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="variable"):
        Pgbench(tmp_path, tmp_path / "q.sql", [Statement("SELECT to_char(now(), 'HH24:MI')", ())], 1)
