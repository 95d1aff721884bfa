"""How much may go back without a second person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount
from gateways.money import MAX_MINOR, Money


class ApprovalLimitQuerySet(models.QuerySet["ApprovalLimit"]):
    def newest(self) -> ApprovalLimitQuerySet:
        """The newest of each account and currency, and of all accounts together."""
        newest = self.order_by("account_id", "currency", "-pk").distinct("account_id", "currency")
        return self.filter(pk__in=newest.values("pk"))


class ApprovalLimit(models.Model):
    """Above how much of one payment a second person has to approve a refund.

    No row ever changes: of one account and currency the newest counts, and one without an amount
    takes the limit back.
    """

    account = models.ForeignKey(
        ProcessorAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("account"),
        help_text=_("Empty: every account that has no limit of its own."),
    )
    currency = models.CharField(_("currency"), max_length=3)
    above_minor = models.BigIntegerField(null=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("by")
    )
    made_at = models.DateTimeField(_("since"), db_default=Now())

    objects = ApprovalLimitQuerySet.as_manager()

    class Meta:
        verbose_name = _("approval limit")
        verbose_name_plural = _("approval limits")
        default_permissions = ("add", "view")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(above_minor__isnull=True) | Q(above_minor__range=(0, MAX_MINOR)),
                name="approval_limit_is_an_amount",
            ),
        ]
        indexes = [models.Index(fields=["currency", "account", "-id"], name="limit_in_force")]

    def __str__(self) -> str:
        return str(self.above or self.currency)

    @property
    def above(self) -> Money | None:
        return None if self.above_minor is None else Money(self.above_minor, self.currency)
