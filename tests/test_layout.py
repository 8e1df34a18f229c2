"""The layout: which package may import which, where SQL and clients live, no cycles, functions that fit a screen."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "resolvers", "sources")
SQL_HOMES = ("sources.ledger", "sources.matching", "sources.mirror", "sources.pipeline", "sources.database")
PURE = (
    "sources.ledger.rules",
    "sources.ledger.model",
    "sources.ledger.csv_import",
    "sources.mapping",
    "sources.matching.allocating",
    "sources.matching.clues",
    "sources.matching.deciding",
    "sources.matching.evidence",
    "sources.matching.guessing",
    "sources.matching.model",
    "sources.matching.referring",
    "sources.pipeline.model",
    "sources.pipeline.drafting",
    "sources.pipeline.planning",
    "sources.pipeline.settling",
    "sources.money",
    "sources.documents",
)
DOES_IO = {
    "asyncio",
    "asyncpg",
    "aiohttp",
    "socket",
    "sqlalchemy",
    "subprocess",
    "urllib",
    "http",
    "os",
    "pathlib",
    "io",
    "time",
}
LONGEST = 70
MEDIAN_BELOW = 10


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    name_of(path): ast.parse(path.read_text())
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported(tree: ast.AST, at_import_time: bool = False) -> Iterator[str]:
    """Full names of the modules that a tree imports; at import time: without those inside functions and TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from (name if name in TREES else base for name in names)
        else:
            yield from imported(node, at_import_time)


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def modules(*packages: str) -> Iterator[tuple[str, ast.AST]]:
    return ((name, tree) for name, tree in TREES.items() if inside(name, *packages))


def test_imports_point_one_way() -> None:
    """gateway -> resolvers -> sources."""
    above = {"resolvers": ("gateway",), "sources": ("gateway", "resolvers")}
    for package, forbidden in above.items():
        for name, tree in modules(package):
            assert not [target for target in imported(tree) if inside(target, *forbidden)], name


def test_connectors_import_neither_ledger_nor_mirror() -> None:
    for name, tree in modules("sources.connectors"):
        assert not [
            target
            for target in imported(tree)
            if inside(target, "sources.ledger", "sources.mirror", "sources.database")
        ], name


def test_connectors_of_different_systems_do_not_import_each_other() -> None:
    """Files of one system share its first word; the shared parts know no system, but for the list of them all."""
    shared = {"answers", "breaker", "client", "each", "files", "http", "kinds", "registry", "webhooks"}
    banking = {"bai2", "bank", "camt", "mt940", "ofx", "statement"}

    def system(name: str) -> str | None:
        word = name.removeprefix("sources.connectors.").split("_")[0].split(".")[0]
        return None if word in shared else "bank" if word in banking else word

    for name, tree in modules("sources.connectors"):
        if name == "sources.connectors.registry":
            continue
        for target in imported(tree):
            if inside(target, "sources.connectors") and system(target) is not None:
                assert system(target) == system(name), f"{name} imports {target}"


def test_rules_model_and_mapping_do_no_io() -> None:
    for name, tree in modules(*PURE):
        assert not [target for target in imported(tree) if target.split(".")[0] in DOES_IO], name


def test_sources_know_neither_graphql_nor_the_environment() -> None:
    for name, tree in modules("sources"):
        assert not [target for target in imported(tree) if inside(target, "strawberry", "graphql", "starlette")], name
        reads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
            and ast.unparse(node) in ("os.environ", "os.getenv", "environ", "getenv")
        ]
        assert not reads, name


def sql_in(tree: ast.AST) -> list[str]:
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    starts = (
        "select ",
        "insert into ",
        "update ",
        "delete from ",
        "with ",
        "create table ",
        "alter ",
        "drop ",
        "listen ",
        "notify ",
    )
    words = (" from ", " set ", " values", " into ", " table ", " database ", " role ")
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            text = " ".join(node.value.lower().split()) + " "
            if text.startswith(starts) and any(word in text for word in words):
                found.append(node.value)
    return found


def test_sql_lives_with_the_stores() -> None:
    for name, tree in TREES.items():
        if not inside(name, *SQL_HOMES):
            assert not [target for target in imported(tree) if inside(target, "sqlalchemy", "alembic")], name
            assert not sql_in(tree), name


def test_http_clients_live_with_the_connectors() -> None:
    """The demo's servers may be built with aiohttp.web; nothing else may import aiohttp."""
    for name, tree in TREES.items():
        found = [
            target for target in imported(tree) if inside(target, "aiohttp", "httpx", "requests", "urllib.request")
        ]
        if inside(name, "gateway.demo"):
            found = [target for target in found if target not in ("aiohttp", "aiohttp.web")]
            assert "ClientSession" not in ast.unparse(tree), name
        if not inside(name, "sources.connectors"):
            assert not found, name


def test_there_is_no_import_cycle() -> None:
    edges = {
        name: {target for target in imported(tree, at_import_time=True) if target in TREES} - {name}
        for name, tree in TREES.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def functions() -> list[tuple[str, int]]:
    return [
        (f"{name}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_every_function_fits_a_screen() -> None:
    assert not [(where, lines) for where, lines in functions() if lines > LONGEST]


def test_the_median_function_is_short() -> None:
    assert statistics.median(lines for _, lines in functions()) < MEDIAN_BELOW


@pytest.mark.parametrize("text", ["SELECT 1 FROM entry", "update x set y = 1", "INSERT INTO entry VALUES (1)"])
def test_sql_would_be_found(text: str) -> None:
    assert sql_in(ast.parse(f"query = {text!r}"))


def test_prose_is_not_taken_for_sql() -> None:
    assert not sql_in(ast.parse('"""Select a ledger from the list."""\nmessage = "must be set"'))
