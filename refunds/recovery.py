"""After the database was restored or failed over: what it forgot is fetched before more is sent.

The processors know refunds that the restored rows do not. So every account is held, every row that
may have left is looked up before it is sent, and an account is free again only when all that its
processor lists of the gap was compared with our rows.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction as database
from django.db.models import F, Max
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.kinds import Kind
from audit.log import record, take_turn
from gateways.errors import Misconfigured
from gateways.models import ProcessorAccount
from gateways.moments import in_utc
from gateways.registry import open_gateway
from transactions.streams import SyncBusy, SyncFailed
from transactions.sync import sync_payments

from .attention import raise_case
from .cases import free_from
from .models import HOLD, Attention, AttentionKind, Reconciliation, Refund, RefundAttempt
from .reconciliation import ReconciliationBusy, ReconciliationFailed, Tally, reconcile
from .states import AttemptState, Status
from .sweeps import expire_lease

# What the rows of these say of the processor may be older than the processor.
_OPEN = (Status.AWAITING_APPROVAL, Status.QUEUED, Status.SENDING, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Suspected:
    """How many refunds were ``sending`` and count as unknown now, and how many are looked up."""

    interrupted: int
    looked_up: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What was compared for an account; ``free_at`` is when it may be freed, None if it is."""

    tally: Tally
    free_at: datetime | None


def hold_accounts(since: datetime) -> list[ProcessorAccount]:
    """Let nothing leave through any account, because rows written after ``since`` are lost.

    Returns the active ones: one that is switched off is compared when it is on again. Repeating it
    keeps the first moment of a hold, and the earliest ``since``, in UTC; what was free is held.
    """
    since = in_utc(since)
    reason = _("The database was restored: nothing is sent until its refunds were compared.")
    with database.atomic():  # all or none: who goes on takes what is not held for free
        take_turn()
        free = list(ProcessorAccount.objects.filter(held_reason="").order_by("pk"))
        ProcessorAccount.objects.update(held_reason=reason)
        accounts = list(ProcessorAccount.objects.all())
        for account in accounts:
            raise_case(
                AttentionKind.ACCOUNT_PAUSED,
                _subject_of(account),
                reason,
                account=account,
                evidence={"since": since.isoformat()},
            )
            case = _hold_of(account)
            if case and _start_of(case) > since:
                case.evidence["since"] = since.isoformat()
                case.save(update_fields=["evidence"])
        for account in free:
            _tell(Kind.ACCOUNT_HELD, account, since)
    return [account for account in accounts if account.is_active]


def last_freed_at() -> datetime | None:
    """When the last hold of an account ended, None while none ever has."""
    holds = Attention.objects.filter(kind=AttentionKind.ACCOUNT_PAUSED, subject__startswith=HOLD)
    freed_at: datetime | None = holds.aggregate(Max("closed_at"))["closed_at__max"]
    return freed_at


def suspect_refunds() -> Suspected:
    """Take it that whatever is not at its end in held accounts may have left since the backup.

    What was being sent has lost its worker with the old database, and may have left whatever its
    row says. What had not been sent may have been since: also what waited for approval, should it
    be approved again. Safe to repeat: nothing has left through these accounts meanwhile.
    """
    refunds = Refund.objects.filter(account__in=ProcessorAccount.objects.exclude(held_reason=""))
    looked_up = refunds.filter(status__in=_OPEN).update(look_up_first=True)
    RefundAttempt.objects.filter(
        refund__in=refunds.filter(status__in=[Status.SENDING, Status.UNKNOWN]),
        state__in=[AttemptState.STARTED, AttemptState.AMBIGUOUS],
        sends=0,
    ).update(sends=1, first_sent_at=F("started_at"), last_sent_at=Now())
    sending = refunds.filter(status=Status.SENDING)
    interrupted = sending.update(lease_until=Now() - timedelta(seconds=1))
    # One by one, and not by a pass of the sweep: another process may be at one just now.
    for refund_id in sending.values_list("pk", flat=True):
        expire_lease(refund_id)
    refunds.filter(status__in=[Status.UNKNOWN, Status.PENDING]).make_due()
    return Suspected(interrupted, looked_up)


def finish(account: ProcessorAccount) -> Finished:
    """Compare a held account over the gap, and free it if its processor lists all of it by now.

    It stays held when somebody finds meanwhile that even more is missing. Safe to repeat and to
    kill at any time. Raises ReconciliationFailed (ReconciliationBusy while another run is on): then
    the account stays held, too.
    """
    hold = _hold_of(account)
    if hold is None:
        return Finished(reconcile(account), None)
    since = _start_of(hold)
    _pull_payments(account, since)
    tally = reconcile(account, since=since)
    with database.atomic():
        take_turn()
        # Whoever holds it writes the account first: either sees what the other did.
        ProcessorAccount.objects.select_for_update().get(pk=account.pk)
        hold = _hold_of(account)
        if hold is None:  # another process has freed it
            return Finished(tally, None)
        if _start_of(hold) < since or not _is_covered(hold):
            return Finished(tally, free_from(hold))
        ProcessorAccount.objects.filter(pk=account.pk).update(held_reason="")
        outcome = _("Everything since %s was compared with the processor.") % since.isoformat()
        Attention.objects.filter(pk=hold.pk).close(outcome)
        _tell(Kind.ACCOUNT_RELEASED, account, since)
    return Finished(tally, None)


def _tell(kind: Kind, account: ProcessorAccount, since: datetime) -> None:
    record(kind, actor=None, account_id=account.pk, about=account, data={"since": since})


def _is_covered(hold: Attention) -> bool:
    """Whether one run compared all since the hold's start, when all of it was listed."""
    covering = Reconciliation.objects.filter(
        account_id=hold.account_id, since__lte=_start_of(hold), until__gte=free_from(hold)
    )
    return covering.filter(finished_at__isnull=False).exists()


def _pull_payments(account: ProcessorAccount, since: datetime) -> None:
    """Refunds of the gap may be of payments of the gap, which the rows have lost as well."""
    try:
        gateway = open_gateway(account)
        with closing(gateway.transport):
            sync_payments(account, gateway, since=since)
    except SyncBusy as error:
        raise ReconciliationBusy(str(error)) from error
    except (Misconfigured, SyncFailed) as error:
        raise ReconciliationFailed(str(error)) from error


def _hold_of(account: ProcessorAccount) -> Attention | None:
    holds = Attention.objects.open().filter(kind=AttentionKind.ACCOUNT_PAUSED)
    return holds.filter(subject=_subject_of(account)).first()


def _start_of(hold: Attention) -> datetime:
    return in_utc(datetime.fromisoformat(hold.evidence["since"]))


def _subject_of(account: ProcessorAccount) -> str:
    return f"{HOLD}{account.pk}"
