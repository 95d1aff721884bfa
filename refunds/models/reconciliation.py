"""How far our refunds were compared with a processor's."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount


class Reconciliation(models.Model):
    """One comparison of one account over one span of time, both ways, resumable where it broke off.

    ``cursor`` says where to go on; ``counts`` what was compared and found so far.
    """

    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="reconciliations")
    since = models.DateTimeField()
    until = models.DateTimeField()
    cursor = models.JSONField(default=dict)
    counts = models.JSONField(default=dict)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(finished_at__isnull=True),
                name="one_open_reconciliation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.since:%Y-%m-%d} – {self.until:%Y-%m-%d}"
