"""How django-allauth behaves here: it signs in who is of staff already, and tells no stranger."""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from gateways.errors import Misconfigured

from . import factor_secrets

log = structlog.get_logger(__name__)

_TOO_MANY = _(
    "Too many attempts have failed. Wait a while and try again, or ask an administrator for help."
)
_UNREADABLE = _(
    "Your second factor cannot be read any more. Have an administrator remove it, then set it up "
    "anew."
)


class Unreadable(ValidationError):
    """A second factor whose secret does not open. A form and a template go on without it."""

    silent_variable_failure = True


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
        """Sealed when its row is saved, which knows whose it is: :mod:`access.factor_secrets`."""
        return text

    def decrypt(self, encrypted_text: str) -> str:
        """Raises Unreadable, as forms show it, where it belongs to somebody else or has no key."""
        try:
            return factor_secrets.unseal(encrypted_text)
        except Misconfigured as error:
            log.warning("second_factor_unreadable", error=str(error))
            raise Unreadable(_UNREADABLE) from None
