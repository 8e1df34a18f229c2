"""What a kind of source is: declared once by its connector's module, and read by the settings, the mirror and the gateway. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sources.connectors.webhooks import Delivery
from sources.documents import Connector

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], float], Delivery]
"""From headers, body, secrets and the moment (seconds since 1970) to what a delivery says. Raises WebhookRefused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorKind:
    """One kind of source. `name`: what `kind` in the settings says. `connector`: makes one from `name` and the options, without
    I/O; raises ConfigurationError for options that cannot work. `gives`: the kinds of document that it states ("invoice",
    "payment", "payroll_run", "bank_statement").

    `required`, `optional`, `one_of` (groups of which one has to be given): the options that are texts; those that end in `_url` are http(s) addresses, `path` is a folder. `secrets`:
    options, of those, that have to be written as env:NAME, and such keys of tables (`authentication.token`). `tables`: further options, which are TOML tables, lists, numbers
    or truths; the connector checks what is in them, and texts in them may be written as env:NAME.
    `origin`: the options that say whose documents it gives, so that a copy made under other ones counts for nothing. Not
    address or key: those change for one and the same account.
    `tenant`: the option that names the tenant whose documents it gives, which `accounts` may send to another ledger.
    `verify`: how its webhooks are verified; None: it sends none. `takes_submissions`: its documents are
    submitted to us. `example`: options that work, for guides and tests.
    `of_files`: it is a FilesConnector, whose files can be read again whole. `layout`: the options by which such files are read: under
    other ones the same file may state documents of other ids."""

    name: str
    connector: Callable[..., Connector]
    gives: tuple[str, ...]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    secrets: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    tenant: str | None = None
    verify: Verify | None = None
    takes_submissions: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    of_files: bool = False
    layout: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Options that are texts."""
        return (*self.required, *(key for group in self.one_of for key in group), *self.optional)

    @property
    def takes_accounts(self) -> bool:
        """Whether its documents may belong to several ledgers, told apart by `accounts`."""
        return self.tenant is not None or "bank_statement" in self.gives
