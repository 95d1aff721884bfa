"""People, groups and API tokens on the staff site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from gateways.admin import ProcessorAccountAdmin
from gateways.models import ProcessorAccount

from .models import AccountRole, ApiToken
from .rights import may_somewhere, within
from .roles import Role

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _UserAdmin = DjangoUserAdmin[User]
else:
    _UserAdmin = DjangoUserAdmin

admin.site.unregister([User, Group, ProcessorAccount])


@admin.register(ProcessorAccount)
class AccountAdmin(ProcessorAccountAdmin):
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
class PersonAdmin(_UserAdmin, ModelAdmin):
    """People are switched off, not deleted: what they did keeps their name.

    Only a superuser makes or changes superusers: nobody lifts themselves above the roles.
    """

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    # Rights come from roles alone: one place to look when somebody can do too much or too little.
    inlines = (AccountRoles,)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email")}),
        (gettext_lazy("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        protected = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not protected and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True  # who is added here is meant to sign in here
        super().save_model(request, obj, form, change)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()  # who is added is asked about on the next page

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        shown = super().get_readonly_fields(request, obj)
        return shown if request.user.is_superuser else (*shown, "is_superuser")


@admin.register(Group)
class RoleAdmin(DjangoGroupAdmin, ModelAdmin):
    """The shipped roles stay as they are; groups beside them are everybody's own."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return not _is_shipped(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return not _is_shipped(obj) and super().has_delete_permission(request, obj)


def _is_shipped(group: Group | None) -> bool:
    return group is not None and group.name in Role.values


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
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
        for token in valid:
            token.revoke()
        count = len(valid)
        sentence = ngettext("%d token is revoked.", "%d tokens are revoked.", count) % count
        messages.success(request, sentence)
