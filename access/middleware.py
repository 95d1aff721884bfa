"""The language and the time zone of whoever is signed in."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from .models import Profile


class ProfileMiddleware:
    """Activates what a person has chosen. Without a choice the browser's language stays, and UTC.

    Nothing is put back at the end: a file that is streamed is written after the view has answered,
    and the next request begins anew.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        timezone.deactivate()
        profile: Profile | None = getattr(request.user, "profile", None)
        if profile and profile.language:
            translation.activate(profile.language)
            vars(request)["LANGUAGE_CODE"] = profile.language
        if profile and profile.time_zone:
            timezone.activate(ZoneInfo(profile.time_zone))
        return self.get_response(request)
