"""What a processor lists without saying whose it is, and may be a refund that we asked for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from transactions.models import Transaction


class DoubtAnswer(models.TextChoices):
    """What it turned out to be."""

    ANOTHER = "another", _("Another refund")  # so a person says
    OURS = "ours", _("Ours")
    FAILED = "failed", _("It failed")


class Doubt(models.Model):
    """A refund, listed by its processor, that may be one of ours which counts as not made.

    Only a person can tell. Until somebody has, nothing of its payment and amount leaves, whatever
    the list shows by then and under whatever row it was asked for.
    """

    transaction = models.ForeignKey(Transaction, models.PROTECT, related_name="doubts")
    amount_minor = models.BigIntegerField()
    external_id = models.CharField(max_length=100)
    found_at = models.DateTimeField(db_default=Now())
    answer = models.CharField(max_length=10, choices=DoubtAnswer, blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    answered_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("doubt")
        verbose_name_plural = _("doubts")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["transaction", "amount_minor", "external_id"], name="doubt_is_raised_once"
            ),
            models.CheckConstraint(
                condition=Q(answer="", answered_at__isnull=True, answered_by__isnull=True)
                | Q(answer__in=["ours", "another"], answered_by__isnull=False)
                | Q(answer="failed", answered_by__isnull=True),
                name="doubt_is_answered_by_a_person_or_the_processor",
            ),
        ]
        indexes = [models.Index(fields=["external_id"], name="doubt_by_id")]

    def __str__(self) -> str:
        return self.external_id
