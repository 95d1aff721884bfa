"""Signing in with the organisation's own OpenID provider, where the settings name one.

It brings in people who are of staff already, by an e-mail address that the provider has verified,
and remembers which of its people that is. It makes nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn
from urllib.parse import urlencode

import structlog
from allauth.account.signals import user_logged_in
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.openid_connect import views
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction as database
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import path
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from requests import RequestException

from audit.kinds import Kind

from . import sessions
from .oidc import PROVIDER
from .sign_in_events import note

log = structlog.get_logger(__name__)

_FAILED = _("Signing in that way did not work. Try it again, or use a password.")


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find the person, or lead back to the login page with a sentence."""
        if not sociallogin.is_existing:
            # Bound to them once they are in, all steps taken.
            sociallogin.user = _person_of(request, sociallogin)
        elif not _may_enter(sociallogin.user):
            _refuse(request, _("This account is switched off. Ask an administrator."))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        log.warning("single_sign_on_failed", error=str(error), reason=str(exception))
        raise ImmediateHttpResponse(_back(request, _FAILED))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False


def _person_of(request: HttpRequest, login: SocialLogin) -> User:
    """The one person of staff with a verified address of the login, and with no other login."""
    verified = [each.email for each in login.email_addresses if each.verified]
    if not verified:
        _refuse(
            request,
            _(
                "The single sign-on provider has not verified your e-mail address. Ask it "
                "to verify it."
            ),
        )
    found = [each for each in User.objects.filter(email__iexact=verified[0]) if _may_enter(each)]
    taken = SocialAccount.objects.filter(user__in=found, provider=login.account.provider)
    if len(found) != 1 or taken.exists():
        _refuse(
            request,
            _("Nobody here has your e-mail address. Ask an administrator to add it."),
        )
    return found[0]


def _may_enter(person: User) -> bool:
    return person.is_active and person.is_staff


def _refuse(request: HttpRequest, sentence: str | Promise) -> NoReturn:
    raise ImmediateHttpResponse(_back(request, sentence))


def _back(request: HttpRequest, sentence: str | Promise) -> HttpResponse:
    note(Kind.SIGN_IN_FAILED, actor=None, way="single_sign_on")
    messages.error(request, str(sentence))
    return redirect("admin:login")


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="access.single_sign_on")


def _signed_in(request: HttpRequest, user: User, **signal: Any) -> None:
    login: SocialLogin | None = signal.get("sociallogin")
    if login is None:
        return
    if login.account.pk is None:
        with database.atomic():
            login.connect(request, user)
            note(Kind.LOGIN_BOUND, actor=user, provider=login.account.provider)
    if settings.OIDC_IS_TWO_FACTOR:
        sessions.note_second_factor(request)


def _where_configured(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Without a provider there is no such address; what it answers wrongly is no error of ours."""

    @wraps(view)
    def answer(request: HttpRequest, provider_id: str) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404
        try:
            return view(request, provider_id)
        except (RequestException, LookupError) as error:
            log.warning("single_sign_on_failed", reason=str(error))
            return _back(request, _FAILED)

    return answer


@_where_configured
def login_view(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Lead to the provider; who is signed in already has to prove anew who they are there."""
    if request.method != "POST":
        return redirect("admin:login")
    asked = {"auth_params": "prompt=login"} if request.user.is_authenticated else {}
    request.GET = QueryDict(urlencode(asked))
    answer: HttpResponse = views.login(request, provider_id)
    return answer


@_where_configured
def callback_view(request: HttpRequest, provider_id: str) -> HttpResponse:
    answer: HttpResponse = views.callback(request, provider_id)
    return answer


_ARGUMENT = {"provider_id": PROVIDER}
# Under the names, and with the argument, by which django-allauth looks for them.
urlpatterns = [
    path("login/", login_view, _ARGUMENT, "openid_connect_login"),
    path("callback/", callback_view, _ARGUMENT, "openid_connect_callback"),
]
