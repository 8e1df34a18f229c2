"""From the settings of a source to the connector that reads it: the only place that knows every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sources.connectors.bank_statements import BankStatementsConnector
from sources.connectors.stripe import StripeConnector
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.documents import Connector
from sources.mirror.settings import SourceSettings

_CONNECTORS: Mapping[str, Callable[..., Connector]] = {
    "stripe": StripeConnector,
    "xero-payroll": XeroPayrollConnector,
    "bank-statements": BankStatementsConnector,
}


def connector_for(source: SourceSettings) -> Connector:
    """The source's connector, constructed without I/O. Raises ConfigurationError for options that cannot work."""
    options: dict[str, Any] = dict(source.options)
    if "path" in options:
        options["path"] = Path(options["path"])
    return _CONNECTORS[source.kind](name=source.name, **options)
