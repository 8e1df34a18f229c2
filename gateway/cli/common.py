"""What the commands share: the options that say where the books are, running until done or stopped, faults as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.config import Settings, load
from gateway.logs import configure
from gateway.running import Stopped, run_until_stopped
from sources.errors import ConfigurationError, InvalidRequest, LedgergraphError

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])

USAGE = 2
"""Exit status of settings and arguments that cannot work; 1 is for what went wrong, 0 for success."""


def database_options(command: Command) -> Command:
    """Adds --data-dir, --database-url and --config."""
    options = [
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="PostgreSQL embedded in this folder (default .ledgergraph).",
        ),
        click.option(
            "--database-url", metavar="URL", help="A PostgreSQL of your own: postgresql://user@host/database."
        ),
        click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The TOML file with limits and sources.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def examples(*lines: str) -> str:
    """The foot of a command's help: lines that can be pasted."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def settings_from(
    *, quiet: bool = True, sources: Collection[str] | None = None, config: Path | None = None, **arguments: Any
) -> Settings:
    """Settings of the command line and the environment; mistakes end the command with status 2. `quiet`: logs hold what
    somebody should look at, and nothing else. `sources`: names of those that the command is about, None: all."""
    with faults():
        settings = load(os.environ, sources=sources, config=config, **arguments)
        configure("warning" if quiet and settings.server.log_level == "info" else settings.server.log_level)
        return settings


@contextmanager
def faults() -> Iterator[None]:
    """Faults that are meant for people end the command with their sentence; what the caller stated wrong, with status 2."""
    try:
        yield
    except (ConfigurationError, InvalidRequest) as fault:
        raise _Misused(str(fault)) from None
    except LedgergraphError as fault:
        raise click.ClickException(str(fault)) from None


class _Misused(click.ClickException):
    exit_code = USAGE


def run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs to the end. SIGINT and SIGTERM cancel the work, which cleans up; the exit status then says so."""
    with faults():
        try:
            return run_until_stopped(work)
        except Stopped as stopped:
            click.echo("stopped", err=True)
            raise click.exceptions.Exit(128 + stopped.number) from None
