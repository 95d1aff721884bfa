"""What a session remembers of how somebody got in, and when it is over.

All of it stands in the session's own row: no page costs a query more for it. Moments are seconds
since 1970.
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F
from django.http import HttpRequest

from .models import Profile

SIGNED_IN_AT, SEEN_AT, PROVED_AT = "signed_in_at", "seen_at", "proved_at"
_SECOND_FACTOR, _GENERATION = "second_factor", "generation"
# A busy session would otherwise write to the database with every page.
_SEEN_IS_NOTED_EVERY = 60
# What pages ask for by themselves says so (static/desk/desk.js): nobody has to sit in front of it.
BY_ITSELF = "X-By-Itself"
# Why a session is over, as the address of the login page says it.
IDLE, LONG, ELSEWHERE = "idle", "long", "elsewhere"


def begin(request: HttpRequest, person: User) -> None:
    """Somebody has just signed in, which proves who they are as well."""
    now = time.time()
    records = get_authentication_records(request, person)
    generations = Profile.objects.filter(user=person).values_list("generation", flat=True)
    request.session.update(
        {
            SIGNED_IN_AT: now,
            SEEN_AT: now,
            PROVED_AT: now,
            # One that was removed may still be among what the session remembers.
            _SECOND_FACTOR: any(record["method"] == "mfa" for record in records)
            and is_mfa_enabled(person),
            _GENERATION: generations.first() or 0,
        }
    )


def why_over(request: HttpRequest) -> str:
    """Why the session of a request is over: IDLE, LONG, ELSEWHERE, or '' while it is not."""
    session, now = request.session, time.time()
    if session.get(_GENERATION) != _generation_of(request.user):
        return ELSEWHERE
    if now - session.get(SIGNED_IN_AT, 0) >= settings.SESSION_ABSOLUTE_SECONDS:
        return LONG
    if now - session.get(SEEN_AT, 0) >= settings.SESSION_IDLE_SECONDS:
        return IDLE
    return ""


def note_activity(request: HttpRequest) -> None:
    """Somebody is there; what a page asks for by itself does not say so."""
    if request.method == "GET" and BY_ITSELF in request.headers:
        return
    now = time.time()
    if now - request.session.get(SEEN_AT, 0) >= _SEEN_IS_NOTED_EVERY:
        request.session[SEEN_AT] = now


def note_proof(request: HttpRequest, *, second_factor: bool) -> None:
    """Somebody has proven again who they are: the session gets a new key."""
    request.session.cycle_key()
    request.session[PROVED_AT] = time.time()
    if second_factor:
        note_second_factor(request)


def is_proven(request: HttpRequest, *, and_stays: float = 0) -> bool:
    """Whether somebody has proven within ``STEP_UP_SECONDS`` who they are.

    ``and_stays``: and whether that is still so after this share of those seconds.
    """
    proved_at: float = request.session.get(PROVED_AT, 0)
    return time.time() - proved_at < settings.STEP_UP_SECONDS * (1 - and_stays)


def note_second_factor(request: HttpRequest, *, has_one: bool = True) -> None:
    request.session[_SECOND_FACTOR] = has_one


def has_second_factor(request: HttpRequest) -> bool:
    """Whether more than a password stands behind the session."""
    return bool(request.session.get(_SECOND_FACTOR))


def end_all(person: User) -> int:
    """End every session of a person; the generation that a session needs from now on."""
    profile, _made = Profile.objects.get_or_create(user=person)
    Profile.objects.filter(pk=profile.pk).update(generation=F("generation") + 1)
    profile.refresh_from_db(fields=["generation"])
    return profile.generation


def end_others(request: HttpRequest) -> None:
    """End every session of whoever asks but the one that asks."""
    assert isinstance(request.user, User)  # the site's own check let them in
    request.session[_GENERATION] = end_all(request.user)


def _generation_of(person: Any) -> int:
    profile: Profile | None = getattr(person, "profile", None)
    return profile.generation if profile else 0
