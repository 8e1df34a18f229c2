"""From the settings of a source to the connector that reads it: the only place that knows every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sources.connectors import stripe_webhooks, xero_webhooks
from sources.connectors.bank_statements import BankStatementsConnector
from sources.connectors.stripe import StripeConnector
from sources.connectors.tryton import TrytonConnector
from sources.connectors.webhooks import Delivery
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.documents import Connector
from sources.mirror.settings import SourceSettings

_CONNECTORS: Mapping[str, Callable[..., Connector]] = {
    "stripe": StripeConnector,
    "xero-payroll": XeroPayrollConnector,
    "bank-statements": BankStatementsConnector,
    "tryton": TrytonConnector,
}

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], float], Delivery]
"""From headers, body, secrets and the moment (seconds since 1970) to what a delivery says. Raises WebhookRefused."""

VERIFIERS: Mapping[str, Verify] = {
    "stripe": stripe_webhooks.verify_webhook,
    "xero-payroll": xero_webhooks.verify_webhook,
}
"""How webhooks are verified, by the kind of source that sends them."""


def connector_for(source: SourceSettings) -> Connector:
    """The source's connector, constructed without I/O. Raises ConfigurationError for options that cannot work."""
    options: dict[str, Any] = dict(source.options)
    if "path" in options:
        options["path"] = Path(options["path"])
    return _CONNECTORS[source.kind](name=source.name, **options)
