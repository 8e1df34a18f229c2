"""How many examples generated tests try: LEDGERGRAPH_TEST_EXAMPLES=20 tries twenty times as many as a usual run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

FACTOR = float(os.environ.get("LEDGERGRAPH_TEST_EXAMPLES", "1"))


def examples(count: int) -> Callable[[Any], Any]:
    """For a test over a database: `count` examples in a usual run, and time for more. Nothing is shrunk, since that runs a failing
    test many times over."""
    chosen = settings(
        max_examples=max(1, int(count * FACTOR)),
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.timeout(300 * max(1.0, FACTOR))(chosen(test))
