"""What may stand in a text that people or programs write here."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .card_numbers import holds_card_number

# More is kept of no text. Others are too long, which is said without reading all of them.
_LONGEST = 5000
# Stripe's; keys of the others look like any word.
_SECRET_KEY = re.compile(r"(?<![A-Za-z0-9])(?:[sr]k_live_|whsec_)[A-Za-z0-9]{4}")


def refuse_card_number(text: str) -> None:
    """Raise ValidationError for text with something that passes for a card number."""
    if holds_card_number(text[:_LONGEST]):
        raise ValidationError(
            _("This looks like a card number. Take it out: card numbers are never kept here."),
            code="card_number",
        )


def refuse_secret_key(text: str) -> None:
    """Raise ValidationError for text with something that passes for a key of a live account."""
    if _SECRET_KEY.search(text[:_LONGEST]):
        raise ValidationError(
            _(
                "This looks like a secret key of a processor. Take it out, and replace the key "
                "there if others may have read it."
            ),
            code="secret_key",
        )


# For whatever text is kept.
KEPT_TEXT = (refuse_card_number, refuse_secret_key)


class RefusesCardNumbers(forms.BaseForm):
    """A form whose texts, all of them, hold neither a card number nor a secret key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if _is_text(field):
                field.validators.extend(KEPT_TEXT)


def _is_text(field: forms.Field) -> bool:
    # Passwords are never shown, and ids made at random may look like anything.
    is_secret = isinstance(field.widget, forms.PasswordInput)
    return isinstance(field, forms.CharField) and not (
        is_secret or isinstance(field, forms.UUIDField)
    )
