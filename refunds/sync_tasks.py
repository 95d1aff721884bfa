"""Celery's doors to the sync and to the comparison with the processors.

A run that is lost or cut off is continued by beat's next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import close_old_connections
from django.utils import timezone

from gateways.models import ProcessorAccount
from transactions.streams import SyncBusy, SyncFailed

from . import disputes
from .reconciliation import ReconciliationBusy, ReconciliationFailed, reconcile
from .recovery import finish
from .sync import sync_account as run_sync

log = structlog.get_logger(__name__)

# Minutes of reading, beyond the limits for money calls, and taken from the queue at once: with
# late acknowledgement the broker would hand a long run out a second time.
_LONG: dict[str, Any] = {
    "soft_time_limit": 3300,
    "time_limit": 3600,
    "acks_late": False,
    "reject_on_worker_lost": False,
}
# A first run may lack many thousands, and at a slow processor each takes a second.
_MOST_DETAILS = 500


@shared_task(name="refunds.tasks.sync_account", **_LONG)
def sync_account(account_id: int) -> None:
    """Pull one account, also a paused one: somebody asked for it."""
    _sync(ProcessorAccount.objects.get(pk=account_id), since=None)


@shared_task(name="refunds.tasks.sync_all_accounts", **_LONG)
def sync_all_accounts(days: int | None = None) -> None:
    """Pull all active accounts one after another; with ``days``, that far back again.

    Lists by creation never show what changed later, so a schedule may want a longer look at night.
    """
    since = _days_ago(days)
    _each_account(lambda account: _sync(account, since), broke="sync_broke")


def _days_ago(days: int | None) -> datetime | None:
    return timezone.now() - timedelta(days=days) if days else None


def _each_account(run: Callable[[ProcessorAccount], None], *, broke: str) -> None:
    """Run it for all active accounts; where it breaks, the others still get their turn."""
    for account in ProcessorAccount.objects.filter(is_active=True, paused_reason=""):
        close_old_connections()  # one that broke under the account before
        try:
            run(account)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            log.exception(broke, account=account.slug)


def _sync(account: ProcessorAccount, since: datetime | None) -> None:
    try:
        report = run_sync(account, since=since, most_details=_MOST_DETAILS)
    except SyncBusy:
        log.info("sync_busy", account=account.slug)
    except SyncFailed as error:
        log.warning("sync_failed", account=account.slug, why=str(error))
    else:
        log.info(
            "synced",
            account=account.slug,
            payments=report.payments.as_json(),
            details=report.details.as_json(),
            refunds=report.refunds.as_json(),
        )


@shared_task(name="refunds.tasks.reconcile_all_accounts", **_LONG)
def reconcile_all_accounts(days: int | None = None) -> None:
    """Compare all active accounts with their processors; with ``days``, that far back again.

    A held account is freed here, once its processor lists all that a restore made us forget.
    """
    since = _days_ago(days)
    _each_account(lambda account: _reconcile(account, since), broke="reconciliation_broke")


@shared_task(name="refunds.tasks.raise_disputes")
def raise_disputes() -> None:
    disputes.raise_disputes()


def _reconcile(account: ProcessorAccount, since: datetime | None) -> None:
    try:
        tally = finish(account).tally if account.held_reason else reconcile(account, since=since)
    except ReconciliationBusy:
        log.info("reconciliation_busy", account=account.slug)
    except ReconciliationFailed as error:
        log.warning("reconciliation_failed", account=account.slug, why=str(error))
    else:
        log.info("reconciled", account=account.slug, **asdict(tally))
