"""Every kind of source. A new connector is one more module in this list."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sources.connectors import (
    bank_csv,
    bank_statements,
    einvoice,
    gusto,
    payroll_csv,
    plaid,
    rest,
    stripe,
    submitted,
    tryton,
    xero_accounting,
    xero_payroll,
)
from sources.connectors.kinds import ConnectorKind

_MODULES = (
    stripe,
    xero_accounting,
    xero_payroll,
    bank_statements,
    bank_csv,
    tryton,
    einvoice,
    payroll_csv,
    gusto,
    plaid,
    rest,
    submitted,
)

KINDS: Mapping[str, ConnectorKind] = MappingProxyType({module.KIND.name: module.KIND for module in _MODULES})
"""By the name that `kind` takes."""

DOCUMENT_KINDS = tuple(sorted({given for kind in KINDS.values() for given in kind.gives}))
"""Every kind of document that some source gives."""
