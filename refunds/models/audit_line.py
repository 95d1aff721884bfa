"""Both chains of the audit trail as one timeline."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount


class AuditLine(models.Model):
    """A row of either chain (a view of the database: refunds/migrations/0019_audit_log.py).

    ``id`` is twice the row's ``sequence``, and one more in the chain of the refunds' events.
    """

    ENTRIES, EVENTS = "entries", "refunds"

    id = models.BigIntegerField(primary_key=True)
    chain = models.CharField(max_length=7)
    sequence = models.BigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=60)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, related_name="+"
    )
    actor_name = models.CharField(max_length=200)
    account = models.ForeignKey(
        ProcessorAccount, models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    about_type = models.CharField(max_length=100)
    about_id = models.CharField(max_length=100)
    about_name = models.CharField(max_length=200)
    refund_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=32)
    from_status = models.CharField(max_length=20)
    to_status = models.CharField(max_length=20)
    data = models.JSONField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        managed = False
        db_table = "refunds_auditline"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        default_permissions = ()

    def __str__(self) -> str:
        name = gettext("Event %s") if self.chain == self.EVENTS else gettext("Entry %s")
        return name % self.sequence
