"""All audits of the npm package graphql-http against a live server, where Node is present."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.toy import token

CACHE = Path(__file__).parents[2] / ".cache" / "graphql-http"
PACKAGES = ["graphql-http@1.23", "graphql@16"]
AUDITS = 61

SCRIPT = """
import { serverAudits } from "graphql-http";
const [url, token] = process.argv.slice(2);
const fetchFn = (input, init = {}) =>
  fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });
const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason });
}
console.log(JSON.stringify(results));
"""


def installed() -> Path:
    """The folder with the packages; skips where they cannot be had. Parallel tests wait for each other."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node and npm are not present")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "node_modules" / "graphql-http").exists():
            (CACHE / "package.json").write_text('{"private": true, "type": "module"}')
            command = [npm, "install", "--no-audit", "--no-fund", "--silent", *PACKAGES]
            done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=240, check=False)
            if done.returncode != 0:
                pytest.skip(f"npm cannot install {' '.join(PACKAGES)}: {done.stderr.strip()[:200]}")
    return CACHE


async def audit(url: str) -> list[dict[str, Any]]:
    """What each audit says of the endpoint at `url`."""
    folder = await asyncio.to_thread(installed)
    process = await asyncio.create_subprocess_exec(
        "node", "--input-type=module", "-", url, token(),
        cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(SCRIPT.encode()), 60)
    assert process.returncode == 0, err.decode()
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def test_all_audits_pass_without_a_warning(client: Any) -> None:
    """Every MUST, SHOULD and MAY of the GraphQL-over-HTTP specification that the package checks."""
    results = await audit(client.graphql)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
