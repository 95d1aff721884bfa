"""Who is calling: the holder of an API token, or somebody with a session of the staff site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.authentication import SessionScheme
from redis import RedisError
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from . import sessions
from .lockout import refuse_guesser
from .models import ApiToken

log = structlog.get_logger(__name__)

# A busy token would otherwise write to the database with every call.
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class TokenAuthentication(authentication.TokenAuthentication):
    """``Authorization: Token KEY``. A key that is wrong, revoked or of an inactive user is 401."""

    model = ApiToken

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        try:
            found: tuple[Any, Any] | None = super().authenticate(request)
        except AuthenticationFailed:
            self._count(request)
            raise
        return found

    def _count(self, request: Request) -> None:
        """Who guesses is told to wait. Without the cache nobody is counted, and nobody let in."""
        try:
            refuse_guesser(request._request)  # noqa: SLF001 - DRF has no other name for it
        except RedisError as error:
            log.warning("attempts_cannot_be_counted", error=str(error))

    def authenticate_credentials(self, key: str) -> tuple[User, ApiToken]:
        token = (
            ApiToken.objects.select_related("user")
            .prefetch_related("accounts")
            .filter(digest=ApiToken.digest_of(key), revoked_at=None, user__is_active=True)
            .first()
        )
        if token is None:
            raise AuthenticationFailed(_("This token is not valid, or no longer."))
        _note_use(token)
        return token.user, token


class SessionAuthentication(authentication.SessionAuthentication):
    """The session of the staff site, with the second factor that the site asks for."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found: tuple[Any, None] | None = super().authenticate(request)
        needs = settings.REQUIRE_TWO_FACTOR and found
        if needs and not sessions.has_second_factor(request._request):  # noqa: SLF001 - as above
            raise PermissionDenied(
                _("Sign in to the staff site with a second factor first, or use an API token."),
                code="second_factor_needed",
            )
        return found


class SessionAuthenticationScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """Tells drf-spectacular that it is a session like any other."""

    target_class = "access.authentication.SessionAuthentication"


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= _USE_IS_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
