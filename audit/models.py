"""Who changed what, from where: one row per change, chained to the row before."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

NAME_SIZE = 200
ID_SIZE = 100


class AuditEntry(models.Model):
    """One thing that a person or the desk did. Append-only; ``hash`` chains each row to the last.

    ``sequence``, ``at``, ``previous_hash`` and ``hash`` are set by the database, whoever inserts.
    Names are those of that time. What happens to a refund is in the chain of its own events.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(_("at"))
    kind = models.CharField(_("what"), max_length=60)
    # People are switched off, not deleted; without one the desk itself did it, or nobody was known.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        verbose_name=_("who"),
    )
    actor_name = models.CharField(max_length=NAME_SIZE, blank=True)
    # A plain key: this app stands below the one that has accounts.
    account_id = models.BigIntegerField(null=True)
    about_type = models.CharField(max_length=ID_SIZE, blank=True)
    about_id = models.CharField(max_length=ID_SIZE, blank=True)
    about_name = models.CharField(max_length=NAME_SIZE, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(max_length=32, blank=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        default_permissions = ("view", "export")
        ordering = ["sequence"]
        indexes = [
            models.Index(fields=["-at", "-sequence"], name="audit_newest"),
            models.Index(fields=["kind", "-at"], name="audit_by_kind"),
            models.Index(fields=["actor", "-at"], name="audit_by_actor"),
            models.Index(fields=["account_id", "-at"], name="audit_by_account"),
            models.Index(fields=["about_id", "-at"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind}"
