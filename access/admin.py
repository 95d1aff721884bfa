"""People, groups and API tokens on the staff site: every press needs a proof (access.step_up)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, BaseDialogForm

from audit.kinds import Kind
from audit.log import changes, record, take_turn
from gateways.admin import ProcessorAccountAdmin
from gateways.models import ProcessorAccount

from . import sessions
from .forms import SWITCHES, GroupForm, NewPersonForm, PersonForm
from .last_administrator import ensure_without
from .models import AccountRole, ApiToken
from .returning import follow
from .rights import may_somewhere, within
from .roles import Role
from .sign_in_events import note
from .step_up import ProvenAdmin, ask_ahead

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _UserAdmin = DjangoUserAdmin[User]
else:
    _UserAdmin = DjangoUserAdmin

admin.site.unregister([User, Group, ProcessorAccount])
# Secrets and logins that people see to themselves.
admin.site.unregister([Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken])


@admin.register(ProcessorAccount)
class AccountAdmin(ProvenAdmin, ProcessorAccountAdmin):
    """The accounts that a person sees; a new one is made by who may change every account."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProcessorAccount]:
        rows: QuerySet[ProcessorAccount] = super().get_queryset(request)
        return within(rows, request.user, "gateways.view_processoraccount", "pk")

    def has_view_permission(
        self, request: HttpRequest, obj: ProcessorAccount | str | None = None
    ) -> bool:
        return _may(request, "gateways.view_processoraccount", obj)

    def has_change_permission(
        self, request: HttpRequest, obj: ProcessorAccount | str | None = None
    ) -> bool:
        return _may(request, "gateways.change_processoraccount", obj)


def _may(request: HttpRequest, right: str, account: ProcessorAccount | str | None) -> bool:
    """For some account, or for one; django-unfold asks with the key in the address."""
    if account is None:
        return may_somewhere(request.user, right)
    if isinstance(account, ProcessorAccount):
        return request.user.has_perm(right, account)
    found = within(ProcessorAccount.objects.all(), request.user, right, "pk")
    try:
        return found.filter(pk=account).exists()
    except ValueError:  # no number, or one of thousands of digits
        return False


class AccountRoles(TabularInline):
    """What a person may do for single accounts, beside what their groups let them do for all."""

    model = AccountRole
    extra = 0
    verbose_name = gettext_lazy("role for one account")
    verbose_name_plural = gettext_lazy("Roles for single accounts")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("auth.view_user")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("auth.change_user")

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(User)
class PersonAdmin(ProvenAdmin, _UserAdmin, ModelAdmin):
    """People are switched off, not deleted: what they did keeps their name.

    Only a superuser makes or changes superusers: nobody lifts themselves above the roles.
    """

    form = PersonForm
    add_form = NewPersonForm
    change_password_form = AdminPasswordChangeForm
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    actions_detail = ("remove_second_factors",)
    # Rights come from roles alone: one place to look when somebody can do too much or too little.
    inlines = (AccountRoles,)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email")}),
        (gettext_lazy("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )

    def has_change_permission(self, request: HttpRequest, obj: User | str | None = None) -> bool:
        person = self.get_object(request, obj) if isinstance(obj, str) else obj  # unfold's key
        protected = person is not None and person.is_superuser and not request.user.is_superuser
        return not protected and super().has_change_permission(request, person)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        # First: a new name locks the row against whoever writes an entry of that person's.
        take_turn()
        if not change:
            obj.is_staff = True  # who is added here is meant to sign in here
        super().save_model(request, obj, form, change)

    @method_decorator(transaction.atomic)
    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's name
        form_url: str = "",
    ) -> HttpResponse:
        person = self.get_object(request, id)  # None where it is no number
        if self.has_change_permission(request, person) and (question := ask_ahead(request)):
            return question
        before = person and person.password
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        if person:
            person.refresh_from_db(fields=["password"])
        if person and person.password != before:
            note(Kind.PASSWORD_CHANGED, actor=_signed_in(request), about=person)
        return answer

    @action(
        description=gettext_lazy("Remove second factors"),
        permissions=["change"],
        dialog={
            "title": gettext_lazy("Remove second factors"),
            "description": gettext_lazy(
                "For somebody who has lost their device. They are signed out everywhere, and the "
                "password alone lets them in until they add another one."
            ),
            "form_class": BaseDialogForm,
            "form_submit_text": gettext_lazy("Remove"),
        },
    )
    def remove_second_factors(
        self, request: HttpRequest, _form: BaseDialogForm, object_id: str
    ) -> HttpResponse:
        person = self.get_object(request, object_id)
        if person is None:
            raise Http404
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        with transaction.atomic():
            Authenticator.objects.filter(user=person).delete()
            sessions.end_all(person)
            note(Kind.TWO_FACTOR_REMOVED, actor=_signed_in(request), about=person)
        messages.success(request, _("%s has no second factor any more.") % person)
        return follow(request, reverse("admin:auth_user_change", args=[person.pk]))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The person is saved by now, the groups and roles are not."""
        person: User = form.instance
        before = _rights_of(person) | _typed_before(form, SWITCHES)
        super().save_related(request, form, formsets, change)
        after = _rights_of(person) | {name: getattr(person, name) for name in SWITCHES}
        if not change:
            record(Kind.PERSON_ADDED, actor=request.user, about=person, data=after)
            return
        now = {name: getattr(person, name) for name in _NAMES}
        if changed := changes(_typed_before(form, _NAMES), now):
            record(Kind.PERSON_CHANGED, actor=request.user, about=person, data=changed)
        if changed := changes(before, after):
            record(Kind.PERSON_RIGHTS, actor=request.user, about=person, data=changed)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()  # who is added is asked about on the next page

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        shown = super().get_readonly_fields(request, obj)
        return shown if request.user.is_superuser else (*shown, "is_superuser")


_NAMES = ("username", "first_name", "last_name", "email")


def _typed_before(form: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What stood in the fields before, also of those that the form does not have."""
    return {name: form.initial.get(name, getattr(form.instance, name)) for name in names}


def _rights_of(person: User) -> dict[str, Any]:
    """The groups, and the roles for single accounts, as the audit log tells them."""
    roles = person.account_roles.select_related("role", "account")
    return {
        "groups": sorted(person.groups.values_list("name", flat=True)),
        "account_roles": sorted(map(str, roles.all())),
    }


@admin.register(Group)
class RoleAdmin(ProvenAdmin, DjangoGroupAdmin, ModelAdmin):
    """The shipped roles stay as they are; groups beside them are everybody's own."""

    form = GroupForm

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return not _is_shipped(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return not _is_shipped(obj) and super().has_delete_permission(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        group: Group = form.instance
        before = {"name": form.initial.get("name"), "permissions": _permissions_of(group)}
        super().save_related(request, form, formsets, change)
        after = {"name": group.name, "permissions": _permissions_of(group)}
        kind = Kind.GROUP_CHANGED if change else Kind.GROUP_ADDED
        if told := changes(before, after) if change else after:
            record(kind, actor=request.user, about=group, data=told)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        self.delete_queryset(request, Group.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        with transaction.atomic():
            try:
                ensure_without(groups := list(queryset))
            except ValidationError as refusal:
                raise PermissionDenied(refusal.messages[0]) from None
            gone = [(group, _held_with(group)) for group in groups]
            super().delete_queryset(request, queryset)
            for group, told in gone:
                record(Kind.GROUP_DELETED, actor=request.user, about=group, data=told)


def _permissions_of(group: Group) -> list[str]:
    held = group.permissions.values_list("content_type__app_label", "codename")
    return sorted(f"{app}.{codename}" for app, codename in held)


def _held_with(group: Group) -> dict[str, Any]:
    """What goes with a group: its permissions, and who had it."""
    people = User.objects.filter(groups=group) | User.objects.filter(account_roles__role=group)
    return {
        "permissions": _permissions_of(group),
        "people": sorted(set(people.values_list("username", flat=True))),
    }


def _signed_in(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the site's own check let them in
    return request.user


def _is_shipped(group: Group | None) -> bool:
    return group is not None and group.name in Role.values


@admin.register(ApiToken)
class ApiTokenAdmin(ProvenAdmin, ModelAdmin):
    """Tokens are made by ``manage.py apitoken create``, which shows the key once."""

    list_display = ("name", "user", "may", "only_for", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    actions = ("revoke",)
    fields = ("name", "user", "may", "only_for", "created_at", "last_used_at", "revoked_at")
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        return tokens.prefetch_related("accounts")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("access.change_apitoken")

    @admin.display(description=gettext_lazy("may"))
    def may(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description=gettext_lazy("only for accounts"))
    def only_for(self, token: ApiToken) -> str:
        return ", ".join(account.slug for account in token.accounts.all()) or _("all")

    @admin.action(description=gettext_lazy("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        valid = tokens.filter(revoked_at=None)
        with transaction.atomic():
            for token in valid:
                token.revoke()
            for token in valid:
                record(Kind.TOKEN_REVOKED, actor=request.user, about=token, data=token.facts())
        count = len(valid)
        sentence = ngettext("%d token is revoked.", "%d tokens are revoked.", count) % count
        messages.success(request, sentence)
