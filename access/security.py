"""“Your security”: what a person has besides a password, and where else they are signed in.

The steps are django-allauth's, in the layout of the staff site; whatever changes something needs a
proof first, so that a stolen session cannot make itself at home.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from allauth.mfa.base.views import IndexView
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction as database
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from audit.kinds import Kind

from . import sessions, step_up
from .adapters import Unreadable
from .sign_in import counted
from .sign_in_events import note

View = Callable[..., HttpResponseBase]


class _StaffPage:
    """A page of django-allauth's in the layout of the staff site."""

    title: str | Promise

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request: HttpRequest = self.request  # type: ignore[attr-defined]
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return admin.site.each_context(request) | context | {"title": self.title}


class SecurityView(_StaffPage, IndexView):
    title = gettext_lazy("Your security")
    template_name = "access/security.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        lacks = settings.REQUIRE_TWO_FACTOR and not sessions.has_second_factor(request)
        return super().get_context_data(**kwargs) | {"must_add_one": lacks}


class AddAppView(_StaffPage, ActivateTOTPView):
    title = gettext_lazy("Authenticator app")
    template_name = "access/add_app.html"


class RemoveAppView(_StaffPage, DeactivateTOTPView):
    title = gettext_lazy("Remove the authenticator app")
    template_name = "access/remove.html"


class CodesView(_StaffPage, ViewRecoveryCodesView):
    title = gettext_lazy("Recovery codes")
    template_name = "access/codes.html"


class RenewCodesView(_StaffPage, GenerateRecoveryCodesView):
    title = gettext_lazy("New recovery codes")
    template_name = "access/renew_codes.html"


class AddPasskeyView(_StaffPage, AddWebAuthnView):
    title = gettext_lazy("Passkey")
    template_name = "access/add_passkey.html"


class RemovePasskeyView(_StaffPage, RemoveWebAuthnView):
    title = gettext_lazy("Remove the passkey")
    template_name = "access/remove.html"
    success_url = reverse_lazy("mfa_index")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Without the object: the layout would look for a list of such objects."""
        return super().get_context_data(**kwargs) | {"object": None}


@require_POST
def end_others_view(request: HttpRequest) -> HttpResponse:
    """Sign a person out everywhere but here."""
    sessions.end_others(request)
    assert isinstance(request.user, User)
    note(Kind.OTHERS_ENDED, actor=request.user)
    messages.success(request, _("You are signed out everywhere else."))
    return redirect("mfa_index")


def _guarded(view: View) -> View:
    """Only for who has proven who they are, also to look at: the page holds a secret."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if question := step_up.ask(request):
            return question
        try:
            with database.atomic():  # nothing changes without its entry in the audit log
                return view(request, *args, **kwargs)
        except Unreadable as error:
            messages.error(request, error.messages[0])
            return redirect("mfa_index")

    return admin.site.admin_view(cast("Callable[..., HttpResponse]", counted(answer)))


# Under the names by which django-allauth looks for them.
urlpatterns = [
    path("", admin.site.admin_view(SecurityView.as_view()), name="mfa_index"),
    path("app/add/", _guarded(AddAppView.as_view()), name="mfa_activate_totp"),
    path("app/remove/", _guarded(RemoveAppView.as_view()), name="mfa_deactivate_totp"),
    path("codes/", _guarded(CodesView.as_view()), name="mfa_view_recovery_codes"),
    path("codes/renew/", _guarded(RenewCodesView.as_view()), name="mfa_generate_recovery_codes"),
    path("passkeys/add/", _guarded(AddPasskeyView.as_view()), name="mfa_add_webauthn"),
    path(
        "passkeys/<int:pk>/remove/",
        _guarded(RemovePasskeyView.as_view()),
        name="mfa_remove_webauthn",
    ),
    path("end-others/", admin.site.admin_view(end_others_view), name="end_other_sessions"),
]
