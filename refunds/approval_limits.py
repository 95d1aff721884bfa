"""The approval limits on the staff site: set by managers, read by everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from access.rights import accounts_where, may_somewhere, within
from access.step_up import ProvenAdmin
from gateways.models import ProcessorAccount
from gateways.money import CURRENCIES, InvalidAmount, parse_amount
from transactions.amounts import delocalize, explain
from transactions.readonly import signed_in
from transactions.templatetags.desk import amount as draw_amount
from transactions.timeline import name_of

from .models import ApprovalLimit

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _LimitForm = forms.ModelForm[ApprovalLimit]
else:
    _LimitForm = forms.ModelForm


_VIEW, _ADD = "refunds.view_approvallimit", "refunds.add_approvallimit"


class ApprovalLimitForm(_LimitForm):
    """A new limit: the amount becomes minor units, and none takes the limit back."""

    currency = forms.CharField(label=_("Currency"), max_length=3, widget=UnfoldAdminTextInputWidget)
    above = forms.CharField(
        label=_("Limit"),
        required=False,
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text=_(
            "When more than this goes back of one payment, another person has to approve it. "
            "0 asks about every refund; empty takes the limit back. Who raises a limit raises it "
            "for others only."
        ),
    )

    class Meta:
        model = ApprovalLimit
        fields = ("account",)

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"].upper()
        if currency not in CURRENCIES:
            raise forms.ValidationError(_("Enter the code of a currency, such as EUR."))
        return currency

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "currency" not in values or "above" not in values:
            return values
        self.instance.currency = values["currency"]
        self.instance.above_minor = _read_limit(values["above"], values["currency"])
        return values


def _read_limit(text: str, currency: str) -> int | None:
    """The typed limit in minor units; zero asks about every refund, and nothing about none."""
    try:
        return parse_amount(delocalize(text), currency).minor if text else None
    except InvalidAmount as error:
        if error.code == "not_positive":
            return 0
        raise forms.ValidationError({"above": explain(error)}) from None


class ApprovalLimitAdmin(ProvenAdmin, ModelAdmin):
    """The limits, old ones too. A new one takes the place of that of its account and currency."""

    form = ApprovalLimitForm
    list_display = ("scope", "currency", "above", "state", "by", "since")
    list_select_related = ("account", "made_by")
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER

    def get_fields(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> tuple[str, ...]:
        typed = ("account", "currency", "above")
        return (*typed, "by", "since") if obj else typed

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalLimit]:
        newest = ApprovalLimit.objects.newest().filter(pk=OuterRef("pk"))
        rows = ApprovalLimit.objects.order_by("-pk").annotate(is_newest=Exists(newest))
        accounts = accounts_where(signed_in(request), _VIEW)
        if accounts is None:
            return rows
        return rows.filter(Q(account=None) | Q(account__in=sorted(accounts)))

    def has_view_permission(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> bool:
        """What counts for every account is for everybody's eyes who sees limits at all."""
        return may_somewhere(request.user, _VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_somewhere(request.user, _ADD)

    def get_form(
        self,
        request: HttpRequest,
        obj: ApprovalLimit | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A form of the accounts for which the person may set limits."""
        shown = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            shown.base_fields["account"].queryset = within(
                ProcessorAccount.objects.all(), request.user, _ADD, "pk"
            )
            shown.base_fields["account"].required = not request.user.has_perm(_ADD)
        return shown

    @display(description=_("Account"))
    def scope(self, limit: ApprovalLimit) -> str:
        return str(limit.account or gettext("Every account"))

    @display(description=_("Limit"))
    def above(self, limit: ApprovalLimit) -> str:
        return draw_amount(limit.above) if limit.above else gettext("No limit")

    @display(
        description=_("State"),
        label={"in force": "success", "taken back": "warning", "replaced": "info"},
    )
    def state(self, limit: ApprovalLimit) -> tuple[str, str]:
        if not getattr(limit, "is_newest", False):
            return "replaced", gettext("Replaced")
        if limit.above is None:
            return "taken back", gettext("Taken back")
        return "in force", gettext("In force")

    @display(description=_("By"))
    def by(self, limit: ApprovalLimit) -> str:
        return name_of(limit.made_by)

    @display(description=_("Since"))
    def since(self, limit: ApprovalLimit) -> str:
        return date_format(timezone.localtime(limit.made_at), "j M Y, H:i")

    def formfield_for_dbfield(self, *args: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(*args, **kwargs)
        if isinstance(field, forms.ModelChoiceField):
            may_set_all = kwargs["request"].user.has_perm(_ADD)
            field.empty_label = gettext("Every account") if may_set_all else "—"
            field.widget.can_view_related = field.widget.can_add_related = False
            field.widget.can_change_related = field.widget.can_delete_related = False
        return field

    def has_change_permission(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApprovalLimit | None = None) -> bool:
        return False

    def response_add(
        self, request: HttpRequest, obj: ApprovalLimit, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the list, with what counts from now on."""
        if obj.above is None:
            sentence = _("%(scope)s: the limit for %(currency)s is taken back.")
        else:
            sentence = _("%(scope)s: more than %(above)s of one payment needs another person.")
        told = {"scope": self.scope(obj), "currency": obj.currency, "above": obj.above}
        messages.success(request, sentence % told)
        return redirect("admin:refunds_approvallimit_changelist")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        only = {"show_save_and_continue": False, "show_save_and_add_another": False}
        page: HttpResponse = super().add_view(request, extra_context=only)
        return page

    def save_model(self, request: HttpRequest, obj: ApprovalLimit, form: Any, change: bool) -> None:
        obj.made_by = signed_in(request)
        super().save_model(request, obj, form, change)
