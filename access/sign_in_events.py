"""What happens at the door, one line of the log each: who got in, who did not, what they changed.

Every such moment comes through :func:`note`.
"""

from __future__ import annotations

from typing import Any

import structlog
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from . import sessions

log = structlog.get_logger(__name__)

SIGNED_IN, SIGNED_OUT, SESSION_ENDED = "signed_in", "signed_out", "session_ended"
FAILED, LOCKED_OUT = "sign_in_failed", "locked_out"
PROVED, PROOF_FAILED = "proved_again", "proof_failed"
FACTOR_ADDED, FACTOR_REMOVED = "second_factor_added", "second_factor_removed"
FACTOR_FAILED, CODES_RENEWED = "second_factor_failed", "recovery_codes_renewed"
PASSWORD_CHANGED, OTHERS_ENDED = "password_changed", "other_sessions_ended"


def note(kind: str, *, actor: User | None, about: User | None = None, **data: str) -> None:
    """``actor`` did it, or nobody who is known; ``about`` is whose door it is, where another's."""
    log.info(kind, actor=actor and actor.pk, about=about and about.pk, **data)


def note_failure(kind: str, name: str, **data: str) -> None:
    """Somebody tried to get in under a name. A name that nobody has may be a password: not kept."""
    person = User.objects.filter(username=name).first()
    note(kind, actor=None, about=person, **data)


def connect() -> None:
    """Listen to what Django and allauth say; at the start."""
    for signal, receiver in (
        (user_logged_in, _signed_in),
        (user_logged_out, _signed_out),
        (authenticator_added, _factor_added),
        (authenticator_removed, _factor_removed),
        (authenticator_reset, _codes_renewed),
        (authentication_failed, _factor_failed),
    ):
        signal.connect(receiver, dispatch_uid=f"access.{receiver.__name__}")


def _signed_in(request: HttpRequest, user: User, **_signal: Any) -> None:
    sessions.begin(request, user)
    note(SIGNED_IN, actor=user)


def _signed_out(user: User | None, **_signal: Any) -> None:
    if user:
        note(SIGNED_OUT, actor=user)


def _factor_added(
    request: HttpRequest, user: User, authenticator: Authenticator, **_signal: Any
) -> None:
    sessions.note_second_factor(request)
    note(FACTOR_ADDED, actor=user, factor=authenticator.type)


def _factor_removed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_signal: Any
) -> None:
    has_one = Authenticator.objects.filter(user=user).exists()
    sessions.note_second_factor(request, has_one=has_one)
    note(FACTOR_REMOVED, actor=user, factor=authenticator.type)


def _codes_renewed(user: User, **_signal: Any) -> None:
    note(CODES_RENEWED, actor=user)


def _factor_failed(user: User, authenticator: Authenticator, **_signal: Any) -> None:
    note(FACTOR_FAILED, actor=None, about=user, factor=authenticator.type)
