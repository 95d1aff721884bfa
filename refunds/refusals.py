"""Refused money actions in the audit log: who wanted what of which payment or refund, and why not.

What was refused was rolled back, so each entry is a short transaction of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models
from django.db import transaction as database
from django.db.models import QuerySet

from audit.kinds import Kind
from audit.log import record
from gateways.card_numbers import mask_card_numbers

from .models import Attention
from .rulings import InvalidRuling
from .services import NotAllowed, RefundRefused, RequestConflict, WrongStatus

if TYPE_CHECKING:
    from django.forms import BaseForm

    from audit.log import Person

log = structlog.get_logger(__name__)

# What services refuse with, and what it is called in the log.
_CODES: dict[type[Exception], str] = {
    NotAllowed: "not_allowed",
    RequestConflict: "idempotency_key_reused",
    WrongStatus: "wrong_status",
    InvalidRuling: "invalid_ruling",
}


def code_of(refusal: Exception) -> str:
    if isinstance(refusal, RefundRefused):
        return refusal.code
    return next((code for kind, code in _CODES.items() if isinstance(refusal, kind)), "")


def record_refusal(
    action: str,
    about: models.Model | None,
    *,
    actor: Person,
    code: str,
    why: str,
    **more: Any,
) -> None:
    """Tell of an action that was refused; ``more`` is what else was typed, as the amount.

    It was refused all the same where this cannot be written: the log of the process says so then.
    """
    data: dict[str, Any] = {"action": action, "code": code, "why": mask_card_numbers(why)}
    data |= {name: _masked(value) for name, value in more.items() if value}
    name = None
    if isinstance(about, Attention):
        data["case"] = about.pk
        # Without a refund its kind is named alone: its reason may hold words of the processor.
        name, about = (None, about.refund) if about.refund else (str(about.kind_label), about)
    account_id = getattr(about, "account_id", None)
    try:
        with database.atomic():
            record(
                Kind.REFUSED,
                actor=actor,
                account_id=account_id,
                about=about,
                about_name=name,
                data=data,
            )
    except DatabaseError as error:
        log.exception("refusal_not_recorded", action=action, code=code, error=str(error))


def _masked(value: Any) -> Any:
    """The value without card numbers: as the text of it where it holds one, whatever it is."""
    text = str(value)
    masked = mask_card_numbers(text)
    return value if masked == text else masked


def record_invalid(
    action: str, about: models.Model | None, form: BaseForm, *, actor: Person, **more: Any
) -> None:
    """Tell of an action whose form was refused."""
    errors = [error for listed in form.errors.as_data().values() for error in listed]
    code = next((error.code for error in errors if error.code), "") or "invalid"
    why = " ".join(sentence for error in errors for sentence in error.messages)
    record_refusal(action, about, actor=actor, code=code, why=why, **more)


def find(model: type[models.Model], key: Any) -> models.Model | None:
    """The object that an address names, also one that the person does not see."""
    try:
        return QuerySet(model).filter(pk=key).first()
    except (ValueError, ValidationError, OverflowError):
        return None
