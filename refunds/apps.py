from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class RefundsConfig(AppConfig):
    name = "refunds"
    verbose_name = _("Refunds")

    def ready(self) -> None:
        post_migrate.connect(_add_shipped_reasons, sender=self)


def _add_shipped_reasons(using: str, **_kwargs: Any) -> None:
    # As Django does with permissions: after every migrate, so that a flushed database has them too.
    from django.utils.translation import override

    from .models import RefundReason

    with override("en"):
        reasons = [
            RefundReason(code=code, label=str(label), position=position)
            for position, (code, label) in enumerate(RefundReason.SHIPPED.items(), start=1)
        ]
    RefundReason.objects.using(using).bulk_create(reasons, ignore_conflicts=True)
