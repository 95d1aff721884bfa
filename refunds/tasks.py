"""Celery's doors into this app. Each takes an id or nothing, and is safe to run twice or never."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from celery import shared_task
from django.conf import settings

from audit.heads import note_heads

from . import approval_mail, approvals, cases, execution, resolution, retention, sweeps, webhooks
from .history import CHAINS
from .sync_tasks import raise_disputes, reconcile_all_accounts, sync_account, sync_all_accounts

__all__ = [
    "expire_leases",
    "expire_unapproved",
    "forget",
    "look_up_due",
    "look_up_refund",
    "note_audit_heads",
    "probe_down_accounts",
    "process_webhook",
    "publish_due",
    "publish_webhooks",
    "raise_disputes",
    "reconcile_all_accounts",
    "send_refund",
    "sync_account",
    "sync_all_accounts",
    "tell_approvers",
    "tidy_cases",
]


@shared_task(name="refunds.tasks.send_refund")
def send_refund(refund_id: str) -> None:
    execution.send_refund(UUID(refund_id))


@shared_task(name="refunds.tasks.publish_due")
def publish_due() -> None:
    sweeps.publish_due()


@shared_task(name="refunds.tasks.look_up_refund")
def look_up_refund(refund_id: str) -> None:
    resolution.look_up_refund(UUID(refund_id))


@shared_task(name="refunds.tasks.look_up_due")
def look_up_due() -> None:
    sweeps.look_up_due()


@shared_task(name="refunds.tasks.probe_down_accounts")
def probe_down_accounts() -> None:
    sweeps.probe_down_accounts()


@shared_task(name="refunds.tasks.expire_leases")
def expire_leases() -> None:
    sweeps.expire_leases()
    sweeps.flag_overdue()


@shared_task(name="refunds.tasks.process_webhook")
def process_webhook(event_id: int) -> None:
    webhooks.process(event_id)


@shared_task(name="refunds.tasks.publish_webhooks")
def publish_webhooks() -> None:
    webhooks.publish_due()


@shared_task(name="refunds.tasks.tell_approvers")
def tell_approvers() -> None:
    approval_mail.tell_approvers()


@shared_task(name="refunds.tasks.expire_unapproved")
def expire_unapproved() -> None:
    approvals.expire_unapproved()


@shared_task(name="refunds.tasks.tidy_cases")
def tidy_cases() -> None:
    cases.reassign_orphans()
    cases.close_resumed_accounts()


@shared_task(name="refunds.tasks.forget")
def forget() -> None:
    retention.forget()


@shared_task(name="refunds.tasks.note_audit_heads")
def note_audit_heads() -> None:
    note_heads(CHAINS, Path(settings.AUDIT_HEADS_FILE) if settings.AUDIT_HEADS_FILE else None)
