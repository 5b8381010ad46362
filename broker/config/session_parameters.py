"""What the operator wrote about sessions → the parameters that a login gets."""

from broker.config.settings import SessionParameters
from broker.domain.parameter import Parameter, milliseconds


def parameters_of(settings: SessionParameters) -> tuple[Parameter, ...]:
    timeouts = (
        ("statement_timeout", settings.statement_timeout),
        ("transaction_timeout", settings.transaction_timeout),
        ("idle_in_transaction_session_timeout", settings.idle_in_transaction_timeout),
    )
    read_only = [Parameter("default_transaction_read_only", "on")] if settings.read_only else []
    path = [Parameter("search_path", settings.search_path)] if settings.search_path else []
    return (
        *read_only,
        *(milliseconds(name, value) for name, value in timeouts if value is not None),
        *path,
        *(Parameter(name, value) for name, value in settings.settings.items()),
    )
