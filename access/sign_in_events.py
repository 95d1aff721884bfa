"""What happens at the door, for the audit log: who got in, who did not, what they changed.

Every such moment comes through :func:`note`.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction as database
from django.http import HttpRequest

from audit.kinds import Kind
from audit.log import record

from . import sessions


def note(kind: Kind, *, actor: User | None, about: User | None = None, **data: str) -> None:
    """``actor`` did it, or nobody who is known; ``about`` is whose door it is, where another's."""
    with database.atomic():
        record(kind, actor=actor, about=about or actor, data=data)


def note_failure(kind: Kind, name: str, **data: str) -> None:
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
    note(Kind.SIGNED_IN, actor=user)


def _signed_out(user: User | None, **_signal: Any) -> None:
    if user:
        note(Kind.SIGNED_OUT, actor=user)


def _factor_added(
    request: HttpRequest, user: User, authenticator: Authenticator, **_signal: Any
) -> None:
    sessions.note_second_factor(request)
    note(Kind.TWO_FACTOR_ENROLLED, actor=user, factor=authenticator.type)


def _factor_removed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_signal: Any
) -> None:
    has_one = Authenticator.objects.filter(user=user).exists()
    sessions.note_second_factor(request, has_one=has_one)
    note(Kind.TWO_FACTOR_REMOVED, actor=user, factor=authenticator.type)


def _codes_renewed(user: User, **_signal: Any) -> None:
    note(Kind.CODES_RENEWED, actor=user)


def _factor_failed(user: User, authenticator: Authenticator, **_signal: Any) -> None:
    note(Kind.TWO_FACTOR_FAILED, actor=None, about=user, factor=authenticator.type)
