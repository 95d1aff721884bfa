"""Setting up processor accounts, and asking a processor whether it accepts one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction as database
from django.db.models import QuerySet

from audit.kinds import Kind
from audit.log import changes, record, take_turn

from .credentials import credentials_of
from .errors import Misconfigured, NotSent
from .models import ProcessorAccount
from .registry import gateway_class, open_gateway

if TYPE_CHECKING:
    from audit.log import Person

# Of a shorter secret, four characters would give too much away.
_HINTED_LENGTH = 12
# What the audit log tells of an account; of credentials it names those that changed.
_TOLD = (
    "processor", "mode", "base_url", "currency", "is_active", "fee_basis_points",
    "refund_fee_minor", "refund_fee_currency", "arrives_after_days", "arrives_within_days",
)  # fmt: skip


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


def save_account(account: ProcessorAccount, *, actor: Person | None = None) -> None:
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
    store_account(account, actor=actor)


def store_account(account: ProcessorAccount, *, actor: Person | None) -> None:
    """Save an account that was checked, and tell the audit log what changed."""
    with database.atomic():
        take_turn()
        before = ProcessorAccount.objects.filter(pk=account.pk).first()
        _write(account)
        renewed = _renewed_credentials(before, account)
        if before is None:
            told = _facts(account) | {"credentials": renewed}
            _tell(Kind.ACCOUNT_ADDED, account, actor, told)
            return
        if changed := changes(_facts(before), _facts(account)):
            _tell(Kind.ACCOUNT_CHANGED, account, actor, changed)
        if renewed:
            _tell(Kind.CREDENTIALS_CHANGED, account, actor, {"credentials": renewed})
        if before.paused_reason and not account.paused_reason:
            _tell(Kind.ACCOUNT_RESUMED, account, actor, {"why": before.paused_reason})


def _write(account: ProcessorAccount) -> None:
    """Save it, its credentials only where they were changed.

    What was read before a rotation must not be written after it: it would hang on the old key.
    """
    if account.pk is None or account.has_new_credentials:
        account.save()
        account.has_new_credentials = False
        return
    kept = {"id", "encrypted_credentials", "credential_fingerprint"}
    names = [field.name for field in account._meta.concrete_fields if field.name not in kept]
    account.save(update_fields=names)


def _tell(
    kind: Kind, account: ProcessorAccount, actor: Person | None, data: Mapping[str, object]
) -> None:
    record(kind, actor=actor, account_id=account.pk, about=account, data=data)


def _facts(account: ProcessorAccount) -> dict[str, object]:
    return {name: getattr(account, name) for name in _TOLD}


def _renewed_credentials(before: ProcessorAccount | None, after: ProcessorAccount) -> list[str]:
    """The names of the credentials that are other ones now."""
    try:
        old = credentials_of(before) if before else {}
    except Misconfigured:  # no key opens them: all were entered again
        old = {}
    new = credentials_of(after)
    return sorted(name for name in {**old, **new} if old.get(name) != new.get(name))


def pause(accounts: QuerySet[ProcessorAccount], why: str, *, actor: Person | None = None) -> None:
    """Stop sending through the account, one or none, until its credentials work again."""
    _set_pause(accounts, why[:300], Kind.ACCOUNT_PAUSED, actor)


def _set_pause(
    accounts: QuerySet[ProcessorAccount], why: str, kind: Kind, actor: Person | None
) -> None:
    with database.atomic():
        take_turn()
        account = accounts.first()
        if account is None:
            return
        accounts.update(paused_reason=why)
        if bool(account.paused_reason) != bool(why):
            _tell(kind, account, actor, {"why": why or account.paused_reason})


def check_account(account: ProcessorAccount, *, actor: Person | None = None) -> str:
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
            pause(row, str(error), actor=actor)
        raise
    if row.exclude(paused_reason="").exists():
        _set_pause(row, "", Kind.ACCOUNT_RESUMED, actor)
    return sentence


def credential_hints(account: ProcessorAccount) -> dict[str, str]:
    """For every credential that is set, its end: ``{"api_key": "…a1b2"}``."""
    return {
        name: f"…{value[-4:]}" if len(value) >= _HINTED_LENGTH else "…"
        for name, value in credentials_of(account).items()
    }
