"""The forms of passkeys, of which a browser fills in what nobody types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.mfa.webauthn import forms as of_allauth
from cryptography.exceptions import InvalidSignature
from django import forms
from django.utils.translation import gettext as _

# What the library raises about an answer that is no answer of a passkey, besides its own errors.
_NONSENSE = (LookupError, TypeError, ValueError, AttributeError, InvalidSignature)


def _read(clean: Callable[[], Any]) -> Any:
    try:
        return clean()
    except forms.ValidationError:
        raise
    except _NONSENSE:
        raise forms.ValidationError(
            _("The passkey did not answer, or it is not one of yours. Try again.")
        ) from None


class AddForm(of_allauth.AddWebAuthnForm):
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = _read(super().clean)
        return values


class UseForm(of_allauth.AuthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        return _read(super().clean_credential)


class ProveForm(of_allauth.ReauthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        return _read(super().clean_credential)
