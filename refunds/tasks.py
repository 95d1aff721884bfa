"""Celery's doors into this app. Each takes an id or nothing, and is safe to run twice or never."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from . import execution, resolution
from .sync_tasks import sync_account, sync_all_accounts

__all__ = [
    "expire_leases",
    "look_up_due",
    "look_up_refund",
    "publish_due",
    "send_refund",
    "sync_account",
    "sync_all_accounts",
]


@shared_task(name="refunds.tasks.send_refund")
def send_refund(refund_id: str) -> None:
    execution.send_refund(UUID(refund_id))


@shared_task(name="refunds.tasks.publish_due")
def publish_due() -> None:
    resolution.publish_due()


@shared_task(name="refunds.tasks.look_up_refund")
def look_up_refund(refund_id: str) -> None:
    resolution.look_up_refund(UUID(refund_id))


@shared_task(name="refunds.tasks.look_up_due")
def look_up_due() -> None:
    resolution.look_up_due()


@shared_task(name="refunds.tasks.expire_leases")
def expire_leases() -> None:
    resolution.expire_leases()
    resolution.flag_overdue()
