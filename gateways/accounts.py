"""Setting up processor accounts, and asking a processor whether it accepts one."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from django.core.exceptions import ValidationError

from .credentials import credentials_of
from .errors import Misconfigured, NotSent
from .models import ProcessorAccount
from .registry import gateway_class, open_gateway

_log = structlog.get_logger(__name__)
# Of a shorter secret, four characters would give too much away.
_HINTED_LENGTH = 12


def credential_names(processor: str) -> tuple[str, ...]:
    """The credentials of a processor: those it needs first, those for webhooks after them."""
    adapter = gateway_class(processor)
    return (*adapter.credential_names, *adapter.webhook_credential_names)


def change_credentials(account: ProcessorAccount, values: Mapping[str, str]) -> None:
    """Put these values in place of the stored ones with the same names; the others stay.

    New credentials lift the pause that old ones caused. The caller saves.

    Raises:
        Misconfigured: a name that the processor does not have, or an empty value.
    """
    names = credential_names(account.processor)
    label = gateway_class(account.processor).label
    if unknown := sorted(set(values) - set(names)):
        raise Misconfigured(
            f"{label} has no credential {', '.join(unknown)}. Its credentials are: "
            f"{', '.join(names)}."
        )
    if empty := sorted(name for name, value in values.items() if not value.strip()):
        raise Misconfigured(f"The value of {', '.join(empty)} is empty.")
    stored = _stored(account, values)
    merged = stored | {name: value.strip() for name, value in values.items()}
    if merged != stored:
        account.set_credentials(merged)
        account.paused_reason = ""


def _stored(account: ProcessorAccount, values: Mapping[str, str]) -> dict[str, str]:
    try:
        return credentials_of(account)
    except Misconfigured:
        # Entering all of them again is the way out when the key is lost.
        if set(gateway_class(account.processor).credential_names) <= set(values):
            return {}
        raise


def save_account(account: ProcessorAccount) -> None:
    """Save an account that could be called: complete, with an allowed address.

    Raises:
        Misconfigured: with a sentence that says what is wrong; nothing was saved.
    """
    try:
        account.full_clean()
    except ValidationError as error:
        sentences = [
            f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()
        ]
        raise Misconfigured(" ".join(sentences)) from None
    open_gateway(account)
    store_account(account)


def store_account(account: ProcessorAccount) -> None:
    """Save an account, its credentials only where they were changed.

    What was read before a rotation must not be written after it: it would hang on the old key.
    """
    if account.pk is None or account.has_new_credentials:
        account.save()
    else:
        kept = {"id", "encrypted_credentials", "credential_fingerprint"}
        account.save(
            update_fields=[
                field.name for field in account._meta.concrete_fields if field.name not in kept
            ]
        )
    if account.has_new_credentials:
        _tell_of_new_credentials(account)


def _tell_of_new_credentials(account: ProcessorAccount) -> None:
    account.has_new_credentials = False
    _log.info(
        "credentials_changed", account=account.slug, fingerprint=account.credential_fingerprint
    )


def check_account(account: ProcessorAccount) -> str:
    """Ask the processor whether it accepts the credentials; the sentence that it does.

    Lifts the account's pause, or sets it when the processor rejects the credentials.

    Raises:
        GatewayError: with the sentence that says what went wrong.
    """
    row = ProcessorAccount.objects.filter(
        pk=account.pk, credential_fingerprint=account.credential_fingerprint
    )
    try:
        sentence = open_gateway(account).check_credentials()
    except NotSent as error:
        if error.reason == "credentials":
            row.update(paused_reason=str(error)[:300])
        raise
    row.update(paused_reason="")
    return sentence


def credential_hints(account: ProcessorAccount) -> dict[str, str]:
    """For every credential that is set, its end: ``{"api_key": "…a1b2"}``."""
    return {
        name: f"…{value[-4:]}" if len(value) >= _HINTED_LENGTH else "…"
        for name, value in credentials_of(account).items()
    }
