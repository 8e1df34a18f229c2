"""The wheel holds what the product needs, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel of the working tree, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            folder,
            ROOT,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = folder.glob("ledgergraph-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    kinds = {".py", ".sql", ".html", ".mako"}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("gateway", "resolvers", "sources")
        for path in (ROOT / package).rglob("*")
        if path.suffix in kinds and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.startswith("sources/database/migrations/versions/") for name in wanted)
    assert any(name.endswith(".html") for name in wanted)


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"gateway", "resolvers", "sources"}


def test_the_wheel_states_its_command(names: set[str]) -> None:
    assert any(name.endswith("entry_points.txt") for name in names)
