"""The door: name and password, then the second factor of who has one.

Whoever fails reads the same words, whether the name, the password or the right to be here is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

import structlog
from allauth.account.utils import perform_login
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from redis import RedisError

from audit.kinds import Kind

from . import sessions
from .lockout import Attempt, LockedOut
from .sign_in_events import note, note_failure

log = structlog.get_logger(__name__)

_LOCKED = "locked"
_WHY_OVER = {
    sessions.IDLE: gettext_lazy("You were signed out because nothing was done for a while."),
    sessions.LONG: gettext_lazy("You were signed out because you signed in too long ago."),
    sessions.ELSEWHERE: gettext_lazy("You were signed out from another place."),
}


def counted(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view that counts attempts: without the cache, where they are counted, nobody gets in."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
            return response.render() if isinstance(response, TemplateResponse) else response
        except RedisError as error:
            log.warning("attempts_cannot_be_counted", error=str(error))
            return render(request, "503.html", status=HTTPStatus.SERVICE_UNAVAILABLE)

    return answer


def locked_out() -> forms.ValidationError:
    """What somebody reads who has failed too often."""
    minutes = -(-settings.LOCKOUT_SECONDS // 60)
    sentence = ngettext(
        "Too many attempts have failed. Wait %d minute and try again, or ask an administrator "
        "for a new password.",
        "Too many attempts have failed. Wait %d minutes and try again, or ask an administrator "
        "for a new password.",
        minutes,
    )
    return forms.ValidationError(sentence % minutes, code=_LOCKED)


@contextmanager
def counted_try(
    request: HttpRequest, name: str, failed: Kind, tell: Callable[[Kind], None]
) -> Iterator[None]:
    """Within it a password is tried, and ValidationError raised where it is wrong.

    Who has failed too often does not get that far, and reads :func:`locked_out`. ``tell`` notes for
    the audit log that a try ``failed``, and that the door has closed.
    """
    attempt = Attempt(request, name)
    try:
        attempt.begin()
    except LockedOut as lock:
        if lock.is_new:
            tell(Kind.SIGN_IN_LOCKED)
        raise locked_out() from None
    try:
        yield
    except forms.ValidationError:
        tell(failed)
        raise
    attempt.succeed()


def is_locked(form: forms.Form) -> bool:
    """Whether a form was refused because too many attempts have failed."""
    codes = {error.code for errors in form.errors.as_data().values() for error in errors}
    return bool(codes & {_LOCKED, "too_many_login_attempts"})


class SignInForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not (self.request and name and self.cleaned_data.get("password")):
            return super().clean()
        with counted_try(self.request, name, Kind.SIGN_IN_FAILED, partial(note_failure, name=name)):
            return super().clean()


@method_decorator(counted, name="dispatch")
class SignInView(LoginView):
    """``/admin/login/``. Who has a second factor goes on to :class:`SecondStepView`."""

    authentication_form = SignInForm
    template_name = "admin/login.html"

    def get_default_redirect_url(self) -> str:
        return reverse("admin:index")

    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = perform_login(
            self.request, form.get_user(), redirect_url=self.get_success_url()
        )
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        status = HTTPStatus.TOO_MANY_REQUESTS if is_locked(form) else HTTPStatus.OK
        return self.render_to_response(self.get_context_data(form=form), status=status)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "why_over": _WHY_OVER.get(self.request.GET.get("ended", ""), ""),
            "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
        }


@method_decorator(counted, name="dispatch")
class SecondStepView(AuthenticateView):
    """The second step at the door: a code, a recovery code, or a passkey."""

    template_name = "access/second_step.html"

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        answer: HttpResponse = super().form_invalid(form)
        if is_locked(form):
            person: User = self.stage.login.user
            # Once for the time that it lasts, however often somebody goes on.
            if cache.add(f"locked-out:{person.pk}", 1, settings.LOCKOUT_SECONDS):
                note(Kind.SIGN_IN_LOCKED, actor=None, about=person)
            answer.status_code = HTTPStatus.TOO_MANY_REQUESTS
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        types = Authenticator.objects.filter(user=self.stage.login.user)
        has_passkey = types.filter(type=Authenticator.Type.WEBAUTHN).exists()
        return admin.site.each_context(self.request) | {
            "title": _("Second step"),
            "code_form": context["form"],
            "passkey_form": context["webauthn_form"] if has_passkey else None,
            "js_data": context["js_data"],
        }
