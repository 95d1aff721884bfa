"""The page on which somebody who is signed in proves again who they are."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

from allauth.mfa.base.forms import ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import begin_authentication
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView

from audit.kinds import Kind

from . import sessions
from .passkeys import ProveForm
from .returning import is_ours
from .sign_in import counted, counted_try, is_locked
from .sign_in_events import note

# A passkey alone does for a form what a code does for another.
_TYPES = Authenticator.Type


class PasswordForm(forms.Form):
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, request: HttpRequest, person: User, data: Any = None) -> None:
        super().__init__(data)
        self.request, self.person = request, person

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        try_password(self.request, self.person, password)
        return password


def try_password(request: HttpRequest, person: User, password: str) -> None:
    """Raise ValidationError, with the sentence, unless it is theirs. Guessing is counted."""
    tell = partial(note, actor=person)
    with counted_try(request, person.get_username(), Kind.PROOF_FAILED, tell):
        if not person.check_password(password):
            raise forms.ValidationError(_("This password is not right."))


@method_decorator(counted, name="dispatch")
class ProveView(TemplateView):
    """By a second factor where the person has one, by the password otherwise.

    Who has neither goes to the provider that they signed in with.
    """

    template_name = "access/prove.html"

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        assert isinstance(request.user, User)  # the site's own check let them in
        self.person = request.user
        self.types = set(
            Authenticator.objects.filter(user=self.person).values_list("type", flat=True)
        )
        self.code_form: Any = None
        self.passkey_form: Any = None
        self.password_form: PasswordForm | None = None
        if self.types:
            self._make_factor_forms()
        elif self.person.has_usable_password():
            data = request.POST if request.method == "POST" else None
            self.password_form = PasswordForm(request, self.person, data)

    def _make_factor_forms(self) -> None:
        sent = self.request.POST if self.request.method == "POST" else None
        by_passkey = sent is not None and "credential" in sent
        self.code_form = ReauthenticateForm(user=self.person, data=None if by_passkey else sent)
        if _TYPES.WEBAUTHN in self.types:
            self.passkey_form = ProveForm(user=self.person, data=sent if by_passkey else None)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        forms_of_all = (self.code_form, self.passkey_form, self.password_form)
        form: Any = next((one for one in forms_of_all if one is not None and one.is_bound), None)
        if form is None:
            return self.get(request)
        if not form.is_valid():
            status = HTTPStatus.TOO_MANY_REQUESTS if is_locked(form) else HTTPStatus.OK
            return self.render_to_response(self.get_context_data(), status=status)
        is_factor = not isinstance(form, PasswordForm)
        if is_factor:
            form.save()
        sessions.note_proof(request, second_factor=is_factor)
        note(Kind.PROVED, actor=self.person)
        if "pressed" in request.GET:
            messages.info(request, _("Thank you. Nothing was done yet: press the button again."))
        return redirect(self._way_back())

    def _way_back(self) -> str:
        address = self.request.GET.get("next", "")
        return address if is_ours(self.request, address) else "admin:index"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = {
            "title": _("Is it you?"),
            "code_form": self.code_form,
            "passkey_form": self.passkey_form,
            "password_form": self.password_form,
            "minutes": settings.STEP_UP_SECONDS // 60,
            "way_back": self._way_back(),
            "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
        }
        if self.passkey_form:
            context["js_data"] = {"request_options": begin_authentication(self.person)}
        return admin.site.each_context(self.request) | super().get_context_data(**kwargs) | context
