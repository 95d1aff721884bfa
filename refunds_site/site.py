"""The staff site: Django's admin in django-unfold's dress, with a first page of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import transaction as database
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from access.forms import ProfileForm
from access.models import Profile
from access.proving import ProveView, try_password
from access.rights import may_somewhere
from access.scoping import has_only_test_accounts
from access.sign_in import SignInView
from access.sign_in_events import note
from audit.kinds import Kind
from campaigns.services import to_start
from refunds import home
from transactions.badges import number_of


class RefundDeskSite(UnfoldAdminSite):
    enable_nav_sidebar = True

    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        context = {**self.each_context(request), "app_path": request.get_full_path()}
        view = SignInView.as_view(extra_context=context | (extra_context or {}))
        return cast(HttpResponse, view(request))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        person = cast(User, request.user)
        if request.method == "POST":
            try:  # else the old password could be guessed here
                try_password(request, person, request.POST.get("old_password", ""))
            except ValidationError as refusal:
                messages.error(request, refusal.messages[0])
                return redirect("admin:password_change")
        with database.atomic():
            answer: HttpResponse = super().password_change(request, extra_context)
            if request.method == "POST" and isinstance(answer, HttpResponseRedirect):
                note(Kind.PASSWORD_CHANGED, actor=person)
        return answer

    def admin_view(
        self, view: Callable[..., HttpResponse], cacheable: bool = False
    ) -> Callable[..., HttpResponse]:
        @wraps(view)
        def readable(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if _has_zero_byte(request):
                raise BadRequest(_("The address holds a character that no text may hold."))
            try:
                return view(request, *args, **kwargs)
            except (PermissionDenied, Http404) as refusal:
                from .refused_calls import record_refused_page  # admins that register here

                record_refused_page(request, refusal)
                raise

        guarded: Callable[..., HttpResponse] = super().admin_view(readable, cacheable)
        return guarded

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # A template calls it, where it draws the page: a list has read the accounts by then.
        context: dict[str, Any] = super().each_context(request)
        return context | {"only_test_accounts": partial(has_only_test_accounts, request)}

    def get_urls(self) -> list[Any]:
        prove = self.admin_view(ProveView.as_view())
        return [
            path("me/", self.admin_view(self.me_view), name="me"),
            path("prove/", prove, name="prove"),
            *super().get_urls(),
        ]

    def me_view(self, request: HttpRequest) -> HttpResponse:
        """What a person sets up for themselves."""
        user = request.user
        assert isinstance(user, User)  # the site's own check let them in
        profile, _made = Profile.objects.get_or_create(user=user)
        form = ProfileForm(request.POST if request.method == "POST" else None, instance=profile)
        if form.is_valid():
            form.save()
            with translation.override(profile.language or translation.get_language()):
                messages.success(request, _("Your settings are kept."))
            return redirect("admin:me")
        context = {"title": _("My settings"), "form": form}
        return TemplateResponse(request, "desk/me.html", self.each_context(request) | context)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What needs the person, and how it goes; Django's own page for who may see no refunds."""
        person = request.user
        if isinstance(person, User) and may_somewhere(person, "refunds.view_refund"):
            context = {
                "title": _("Home"),
                "home": home.describe(person),
                "campaigns_to_start": number_of(to_start(person)),
            }
            return TemplateResponse(request, "desk/home.html", self.each_context(request) | context)
        if may_somewhere(person, "transactions.view_transaction"):
            return redirect("admin:transactions_transaction_changelist")
        page: HttpResponse = super().index(request, extra_context)
        return page


def _has_zero_byte(request: HttpRequest) -> bool:
    """Whether a filter would ask PostgreSQL for what it cannot store. The search says so itself."""
    filters = (values for name, values in request.GET.lists() if name != SEARCH_VAR)
    return any("\0" in value for values in filters for value in values)
