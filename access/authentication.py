"""Who is calling: the holder of an API token. The staff session is Django REST framework's own."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed

from .models import ApiToken

# A busy token would otherwise write to the database with every call.
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class TokenAuthentication(authentication.TokenAuthentication):
    """``Authorization: Token KEY``. A key that is wrong, revoked or of an inactive user is 401."""

    model = ApiToken

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


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= _USE_IS_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
