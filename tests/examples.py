"""How many examples generated tests try: LEDGERGRAPH_TEST_EXAMPLES=20 tries twenty times as many as a usual run."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

FACTOR = float(os.environ.get("LEDGERGRAPH_TEST_EXAMPLES", "1"))


def examples(count: int, *, shrink: bool = False) -> Any:
    """Settings of a test over a database: `count` examples in a usual run. Shrinking runs a failing test many times over."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        max_examples=max(1, int(count * FACTOR)), deadline=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
