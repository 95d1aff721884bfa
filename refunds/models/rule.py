"""When a second person has to approve a refund."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount
from gateways.money import MAX_MINOR, Money


class RuleKind(models.TextChoices):
    """What is measured; :mod:`refunds.policy` says how it is compared."""

    PAYMENT = "payment", _("Amount of one payment")
    DAY = "day", _("Amount of one person in a day")
    APPROVING = "approving", _("Amount that one person approves")
    AGE = "age", _("Days since the payment")
    SOON = "soon", _("Minutes since the payment")
    TRIES = "tries", _("Earlier tries")
    CUSTOMER = "customer", _("Refunds of one customer in 30 days")
    CARD = "card", _("Refunds to one card in 30 days")
    OWN_CUSTOMER = "own_customer", _("Refunds of one customer by one person in 90 days")
    RISKY = "risky", _("Disputes of the customer in a year")
    UNUSUAL = "unusual", _("Multiple of what the person usually gives back")

    @property
    def is_money(self) -> bool:
        return self in MONEY


MONEY = frozenset({RuleKind.PAYMENT, RuleKind.DAY, RuleKind.APPROVING})
# What a rule about a number may say at most: ten years of minutes.
MOST = 5_256_000


class ApprovalRuleQuerySet(models.QuerySet["ApprovalRule"]):
    def newest(self) -> ApprovalRuleQuerySet:
        """The newest of each kind, scope and currency: those in force, and those taken back."""
        scope = ("kind", "account_id", "role_id", "person_id", "currency")
        return self.filter(pk__in=self.order_by(*scope, "-pk").distinct(*scope).values("pk"))


class ApprovalRule(models.Model):
    """Above which ``value`` another person has to approve a refund.

    Minor units of ``currency`` for what is money, a number otherwise; ``SOON`` asks below it. No
    row ever changes: of one kind, scope and currency the newest counts, and one without a value
    takes the rule back. So every version stays, with who set it and when.
    """

    kind = models.CharField(
        _("what"), max_length=20, choices=RuleKind, default=RuleKind.PAYMENT, db_default="payment"
    )
    account = models.ForeignKey(
        ProcessorAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("account"),
        help_text=_("Empty: every account that has no rule of its own."),
    )
    role = models.ForeignKey(
        Group,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("role"),
        help_text=_("Empty: everybody. Of the rules of several roles the most generous counts."),
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("person"),
        help_text=_("One person: goes before the rules of roles."),
    )
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    value = models.BigIntegerField(null=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("by")
    )
    made_at = models.DateTimeField(_("since"), db_default=Now())

    objects = ApprovalRuleQuerySet.as_manager()

    class Meta:
        verbose_name = _("approval rule")
        verbose_name_plural = _("approval rules")
        default_permissions = ("add", "view")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=RuleKind.values), name="approval_rule_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=sorted(MONEY), currency__regex="^[A-Z]{3}$")
                | (~Q(kind__in=sorted(MONEY)) & Q(currency="")),
                name="approval_rule_about_money_has_a_currency",
            ),
            models.CheckConstraint(
                condition=Q(value__isnull=True) | Q(value__range=(0, MAX_MINOR)),
                name="approval_rule_value_is_in_range",
            ),
            models.CheckConstraint(
                condition=Q(role__isnull=True) | Q(person__isnull=True),
                name="approval_rule_is_for_a_role_or_a_person",
            ),
        ]
        indexes = [models.Index(fields=["kind", "currency", "account"], name="rule_in_force")]

    def __str__(self) -> str:
        above = gettext("no limit") if self.above is None else self.above
        return f"{self.get_kind_display()}: {above}"

    @property
    def above(self) -> Money | int | None:
        """The value; None took the rule back."""
        if self.value is None or not self.currency:
            return self.value
        return Money(self.value, self.currency)
