"""The README says what the code says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import asyncssh
import pytest
from graphql import parse, validate

from gateway.authentication import SCOPES
from gateway.cli import Commands, main
from gateway.config import ServerSettings, load
from gateway.limits import Limits
from gateway.schema import build, core
from sources.connectors.registry import KINDS
from sources.mirror.settings import SourceSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONNECTORS = (ROOT / "docs/connectors.md").read_text()


def asked(today: str) -> list[str]:
    """The operations that the README has sent by its function `ask`, in their order."""
    found = re.findall(r"^ask '((?:[^']|'\$TODAY')+)'", README, flags=re.MULTILINE)
    return [operation.replace("'$TODAY'", today) for operation in found]


def test_the_operations_to_paste_fit_the_graph() -> None:
    schema = core(build())
    operations = asked("2026-11-22")
    assert len(operations) == 11
    assert not [fault for operation in operations for fault in validate(schema, parse(operation))]


def test_the_table_of_limits_is_the_code_s() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", README, flags=re.MULTILINE))
    assert {name: int(value.replace(",", "")) for name, value in told.items()} == {
        item.name: item.default for item in fields(Limits)
    }


def test_every_setting_scope_and_command_is_named() -> None:
    assert isinstance(main, Commands)
    words = [item.name for item in fields(ServerSettings)]
    words += [*SCOPES, *main.list_commands(None)]  # type: ignore[arg-type]
    assert not [word for word in words if f"`{word}`" not in README and f"`ledgergraph {word}`" not in README]


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
CODE = re.compile(r"```.*?```", flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page ends in."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text())):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def sources_of(text: str, folder: Path) -> list[SourceSettings]:
    """The sources of every example of settings in a guide."""
    found: list[SourceSettings] = []
    for example in re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL):
        file = folder / "sources.toml"
        file.write_text(example)
        secrets = dict.fromkeys(re.findall(r'"env:(\w+)"', example), "x")
        for name in re.findall(r'sftp_private_key = "env:(\w+)"', example):
            secrets[name] = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        found += load(secrets, config=file).sources
    return found


def test_the_sources_of_the_examples_are_settings_that_load(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "us.toml").write_text('extends = "starter"')
    assert [source.kind for source in sources_of(README, tmp_path)] == ["stripe", "bank-statements"]
    assert [source.kind for source in sources_of((ROOT / "docs/pipeline.md").read_text(), tmp_path)] == ["stripe"]
    sources = sources_of(CONNECTORS, tmp_path)
    assert {"GB33BUKB20201555555555": "acme-uk"} in [source.accounts for source in sources]
    assert {source.kind for source in sources} == set(KINDS)
    assert not [kind for kind in KINDS if f"`{kind}`" not in CONNECTORS]
