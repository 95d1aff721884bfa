"""What stands between a session and the pages: its end, and the second factor that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from audit.kinds import Kind

from . import sessions
from .returning import follow, with_way_back
from .sign_in_events import note

# What somebody may do who has yet to add a second factor.
_OPEN = {
    "admin:login", "admin:logout", "admin:prove", "admin:jsi18n", "admin:password_change",
    "admin:password_change_done", "account_login", "mfa_authenticate", "mfa_index",
    "mfa_activate_totp", "mfa_add_webauthn", "mfa_view_recovery_codes", "openid_connect_login",
    "openid_connect_callback",
}  # fmt: skip


class SessionLimits:
    """Signs out whose session is over, says why, and leads back after the next sign-in.

    A program of the API is nobody from then on.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        person = request.user
        if isinstance(person, User):
            if why := sessions.why_over(request):
                note(Kind.SESSION_ENDED, actor=person, why=why)
                request.session.flush()
                request.user = AnonymousUser()
                if _is_of_staff_site(request):
                    return follow(
                        request, with_way_back(request, reverse("admin:login"), ended=why)
                    )
            else:
                sessions.note_activity(request)
        return self.get_response(request)


class SecondFactorGuard:
    """With ``REQUIRE_TWO_FACTOR`` the staff site opens only to who has more than a password.

    Who has none yet is led to add one; who has one is asked for it. The API asks by itself
    (:mod:`access.authentication`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        if not settings.REQUIRE_TWO_FACTOR or not isinstance(request.user, User):
            return None
        if sessions.has_second_factor(request) or not _is_of_staff_site(request):
            return None
        if request.resolver_match and request.resolver_match.view_name in _OPEN:
            return None
        if is_mfa_enabled(request.user):
            return follow(request, with_way_back(request, reverse("admin:prove")))
        return follow(request, reverse("mfa_index"))


def _is_of_staff_site(request: HttpRequest) -> bool:
    return request.path.startswith(reverse("admin:index"))
