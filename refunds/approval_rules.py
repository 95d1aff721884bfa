"""The approval rules on the staff site: set by managers, read by everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from access.rights import accounts_where, may_somewhere, within
from access.step_up import ProvenAdmin
from audit.kinds import Kind
from audit.log import record
from gateways.models import ProcessorAccount
from gateways.money import CURRENCIES, InvalidAmount, Money, parse_amount
from gateways.validators import RefusesCardNumbers
from transactions.amounts import delocalize, explain
from transactions.readonly import signed_in
from transactions.templatetags.desk import amount as draw_amount
from transactions.timeline import name_of

from .models import ApprovalRule, RuleKind
from .models.rule import MOST

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    from django.utils.functional import Promise

    _RuleForm = forms.ModelForm[ApprovalRule]
else:
    _RuleForm = forms.ModelForm

_VIEW, _ADD = "refunds.view_approvalrule", "refunds.add_approvalrule"
_SCOPE = ("account", "role", "person")

# What each rule does, as its page says it.
MEANINGS: dict[RuleKind, str | Promise] = {
    RuleKind.PAYMENT: _("When more than this goes back of one payment, however many parts it has."),
    RuleKind.DAY: _("When more than this goes back in a day at one person's word alone."),
    RuleKind.APPROVING: _(
        "What one person may approve of one payment, however many parts it has, or of one campaign."
    ),
    RuleKind.AGE: _("When the payment is older than so many days."),
    RuleKind.SOON: _("When it is asked for sooner than so many minutes after the payment."),
    RuleKind.TRIES: _(
        "When it was tried more often than this before; 0 asks about every try again."
    ),
    RuleKind.CUSTOMER: _("When the customer got more refunds than this in the last 30 days."),
    RuleKind.CARD: _(
        "When more refunds than this went to cards of its brand and last four digits in 30 days."
    ),
    RuleKind.OWN_CUSTOMER: _(
        "When the same person gave the customer more refunds than this in 90 days."
    ),
    RuleKind.RISKY: _("When the customer disputed more payments than this within a year."),
    RuleKind.UNUSUAL: _("When it is more than so many times the person's average of 90 days."),
}


class ApprovalRuleForm(RefusesCardNumbers, _RuleForm):
    """A new rule: an amount becomes minor units, and no value takes the rule back."""

    currency = forms.CharField(
        label=_("Currency"),
        max_length=3,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("For amounts only, such as EUR."),
    )
    above = forms.CharField(
        label=_("Limit"),
        required=False,
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text=_(
            "When it is passed, another person has to approve the refund. Empty takes the rule "
            "back. Who makes a rule looser makes it looser for others only."
        ),
    )

    class Meta:
        model = ApprovalRule
        fields = ("kind", *_SCOPE)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("role") and values.get("person"):
            self.add_error("person", _("Choose a role or a person, not both."))
        if "kind" not in values or "above" not in values:
            return values
        kind, currency = RuleKind(values["kind"]), values.get("currency", "").upper()
        if kind.is_money and currency not in CURRENCIES:
            self.add_error("currency", _("Enter the code of a currency, such as EUR."))
        elif not kind.is_money and currency:
            self.add_error("currency", _("This rule is about a number. Leave the currency empty."))
        else:
            values["currency"] = currency
            read = _read_amount if kind.is_money else _read_number
            self.instance.value = read(values["above"], currency)
        return values


def _read_amount(text: str, currency: str) -> int | None:
    """The typed limit in minor units; zero asks about every refund, and nothing about none."""
    try:
        return parse_amount(delocalize(text), currency).minor if text else None
    except InvalidAmount as error:
        if error.code == "not_positive":
            return 0
        raise forms.ValidationError({"above": explain(error)}) from None


def _read_number(text: str, _currency: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= MOST):
        sentence = _("Enter a whole number from 0 to %s, or nothing.")
        raise forms.ValidationError({"above": sentence % MOST})
    return int(text)


class ApprovalRuleAdmin(ProvenAdmin, ModelAdmin):
    """The rules, old ones too. A new one takes the place of that of its kind and scope."""

    form = ApprovalRuleForm
    list_display = ("what", "whom", "above", "state", "by", "since")
    list_select_related = ("account", "role", "person", "made_by")
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER

    def get_fields(self, request: HttpRequest, obj: ApprovalRule | None = None) -> tuple[str, ...]:
        typed = ("kind", *_SCOPE, "currency", "above")
        return (*typed, "by", "since") if obj else typed

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalRule]:
        newest = ApprovalRule.objects.newest().filter(pk=OuterRef("pk"))
        rows = ApprovalRule.objects.order_by("-pk").annotate(is_newest=Exists(newest))
        accounts = accounts_where(signed_in(request), _VIEW)
        if accounts is None:
            return rows
        return rows.filter(Q(account=None) | Q(account__in=sorted(accounts)))

    def has_view_permission(self, request: HttpRequest, obj: ApprovalRule | None = None) -> bool:
        """What counts for every account is for everybody's eyes who sees rules at all."""
        return may_somewhere(request.user, _VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_somewhere(request.user, _ADD)

    def get_form(
        self,
        request: HttpRequest,
        obj: ApprovalRule | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A form of the accounts for which the person may set rules."""
        shown = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            shown.base_fields["account"].queryset = within(
                ProcessorAccount.objects.all(), request.user, _ADD, "pk"
            )
            shown.base_fields["account"].required = not request.user.has_perm(_ADD)
            shown.base_fields["person"].queryset = User.objects.filter(is_staff=True)
            shown.base_fields["kind"].help_text = format_html(
                "<ul>{}</ul>",
                format_html(
                    "".join(["<li><b>{}</b>: {}</li>"] * len(MEANINGS)),
                    *(part for kind, says in MEANINGS.items() for part in (kind.label, says)),
                ),
            )
        return shown

    @display(description=_("Rule"))
    def what(self, rule: ApprovalRule) -> str:
        return str(RuleKind(rule.kind).label)

    @display(description=_("For"))
    def whom(self, rule: ApprovalRule) -> str:
        whom = name_of(rule.person) if rule.person else str(rule.role or gettext("Everybody"))
        where = str(rule.account or gettext("every account"))
        return f"{whom} · {where}"

    @display(description=_("Limit"))
    def above(self, rule: ApprovalRule) -> str:
        if rule.value is None:
            return gettext("No limit")
        return draw_amount(rule.above) if isinstance(rule.above, Money) else str(rule.above)

    @display(
        description=_("State"),
        label={"in force": "success", "taken back": "warning", "replaced": "info"},
    )
    def state(self, rule: ApprovalRule) -> tuple[str, str]:
        if not getattr(rule, "is_newest", False):
            return "replaced", gettext("Replaced")
        if rule.value is None:
            return "taken back", gettext("Taken back")
        return "in force", gettext("In force")

    @display(description=_("By"))
    def by(self, rule: ApprovalRule) -> str:
        return name_of(rule.made_by)

    @display(description=_("Since"))
    def since(self, rule: ApprovalRule) -> str:
        return date_format(timezone.localtime(rule.made_at), "j M Y, H:i")

    def formfield_for_dbfield(self, *args: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(*args, **kwargs)
        if isinstance(field, forms.ModelChoiceField):
            may_set_all = kwargs["request"].user.has_perm(_ADD)
            nobody = {"account": gettext("Every account") if may_set_all else "—"}
            field.empty_label = nobody.get(args[0].name, "—")
            field.widget.can_view_related = field.widget.can_add_related = False
            field.widget.can_change_related = field.widget.can_delete_related = False
        return field

    def has_change_permission(self, request: HttpRequest, obj: ApprovalRule | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApprovalRule | None = None) -> bool:
        return False

    def response_add(
        self, request: HttpRequest, obj: ApprovalRule, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the list, with what counts from now on."""
        if obj.value is None:
            sentence = _("%(rule)s, %(whom)s: the rule is taken back.")
        else:
            sentence = _("%(rule)s, %(whom)s: set to %(above)s.")
        told = {"rule": self.what(obj), "whom": self.whom(obj), "above": obj.above}
        messages.success(request, sentence % told)
        return redirect("admin:refunds_approvalrule_changelist")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        only = {"show_save_and_continue": False, "show_save_and_add_another": False}
        page: HttpResponse = super().add_view(request, extra_context=only)
        return page

    def save_model(self, request: HttpRequest, obj: ApprovalRule, form: Any, change: bool) -> None:
        obj.made_by = signed_in(request)
        scope = {name: getattr(obj, name) for name in ("kind", *_SCOPE, "currency")}
        before = ApprovalRule.objects.newest().filter(**scope).first()
        super().save_model(request, obj, form, change)
        old, new = (None if each is None else each.above for each in (before, obj))
        told = [None if each is None else str(each) for each in (old, new)]
        record(
            Kind.RULE_SET,
            actor=obj.made_by,
            account_id=obj.account_id,
            about=obj,
            about_name=f"{self.what(obj)}, {self.whom(obj)}",
            data={"changed": {"above": told}},
        )
