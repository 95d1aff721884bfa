"""How django-allauth behaves here: it signs in who is of staff already, and tells no stranger."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from . import factor_secrets

_TOO_MANY = _(
    "Too many attempts have failed. Wait a while and try again, or ask an administrator for help."
)


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {"too_many_login_attempts": _TOO_MANY}

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People are added by an administrator."""
        return False

    def is_reauthentication_required(self, *, app: str, **_more: Any) -> bool:
        """Our own pages ask: :mod:`access.step_up`."""
        return False


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This code is not right, or it was used already."),
        "rate_limited": _TOO_MANY,
    }

    def encrypt(self, text: str) -> str:
        """Secrets of authenticators rest as those of processors do."""
        return factor_secrets.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return factor_secrets.unseal(encrypted_text)
