"""Our decisions to give money back, what was tried, and the history that shows tampering."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gateways.base import FailureCode, Operation
from gateways.models import Mode, ProcessorAccount
from gateways.money import MAX_MINOR, Money
from refunds.states import CANCELABLE, MOVING, RESERVING, STANDING, AttemptState, Origin, Status
from transactions.models import Transaction

if TYPE_CHECKING:
    from .attention import Ruling

# The identities that one refund may use up, and the sends that one identity may.
MAX_ATTEMPTS = 5
MAX_SENDS = 6
# Two people had ruled that it was made, and then that it was not: its processor's id is free again.
TAKEN_BACK = Q(status=Status.RETURNED, processor_refund_id__isnull=True)


class RefundReason(models.Model):
    """Why money goes back: a list that staff extend. Only the shipped ones are translated."""

    SHIPPED: ClassVar[dict[str, str | Promise]] = {
        "requested_by_customer": _("Requested by the customer"),
        "duplicate": _("Charged twice"),
        "billing_error": _("Billing error"),
        "order_cancelled": _("Order cancelled"),
        "product_returned": _("Product returned"),
        "exchange": _("Exchange"),
        "damaged_or_missing": _("Damaged or missing"),
        "service_issue": _("Problem with the service"),
        "price_adjustment": _("Price adjustment"),
        "missed_discount": _("Missed discount"),
        "goodwill": _("Goodwill"),
        "fraudulent": _("Fraudulent payment"),
        "other": _("Other"),
    }

    code = models.SlugField(_("code"), max_length=50, primary_key=True)
    label = models.CharField(_("label"), max_length=100)
    position = models.PositiveSmallIntegerField(_("position"), default=100)
    is_active = models.BooleanField(_("offered"), default=True)

    class Meta:
        verbose_name = _("refund reason")
        verbose_name_plural = _("refund reasons")
        ordering = ["position", "label"]

    def __str__(self) -> str:
        return str(self.SHIPPED.get(self.code, self.label))


class RefundQuerySet(models.QuerySet["Refund"]):
    def waiting(self, status: Status) -> RefundQuerySet:
        """Those in ``status`` whose time has not come; never one that a worker has in hand.

        To make that due would give it to a second worker, and count the first one as lost.
        """
        return self.filter(status=status, unfinished=0, next_action_at__gt=Now())

    def make_due(self) -> int:
        """Have them taken up at once, whatever message about them is under way; how many."""
        return self.update(next_action_at=Now(), enqueued_at=None)


class Refund(models.Model):
    """One decision to give money back, for its whole life, whoever started it.

    Its money is reserved on the transaction while ``status`` is in ``states.RESERVING`` and counted
    as refunded while it is ``succeeded``. The row is also the queue: ``next_action_at`` says when a
    worker or a look-up is due, ``fence`` who may write the result.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    transaction = models.ForeignKey(Transaction, models.PROTECT, related_name="refunds")
    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="+")
    mode = models.CharField(max_length=4, choices=Mode)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField(_("amount"))
    operation = models.CharField(
        _("operation"),
        max_length=6,
        choices=[(Operation.REFUND.value, _("Refund")), (Operation.VOID.value, _("Void"))],
        default=Operation.REFUND.value,
    )
    origin = models.CharField(_("started by"), max_length=10, choices=Origin)
    status = models.CharField(_("status"), max_length=20, choices=Status)
    reason = models.ForeignKey(
        RefundReason, models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.TextField(_("internal note"), blank=True)
    # One of many: what a person asked for by itself leaves before it.
    is_bulk = models.BooleanField(default=False, db_default=False)
    # Nothing of it leaves, whatever becomes of it, until it is released.
    is_held = models.BooleanField(default=False, db_default=False)
    words = models.TextField(_("words for the customer"), blank=True, db_default="")
    # Typed by who rejected it. Not in its event, which is never changed: it may name a customer.
    rejected_why = models.TextField(blank=True, db_default="")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    needs_approval = models.BooleanField(default=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    retry_of = models.OneToOneField("self", models.PROTECT, null=True, related_name="retried_as")
    # The one made elsewhere that it is: it counted as not made until that was found.
    made_as = models.OneToOneField("self", models.PROTECT, null=True, related_name="counts_for")
    idem_scope = models.CharField(max_length=60)
    idem_key = models.CharField(max_length=255)
    request_hash = models.BinaryField(max_length=32)
    processor_refund_id = models.CharField(_("processor's id"), max_length=100, null=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_processor_code = models.CharField(max_length=100, blank=True)
    failure_message = models.CharField(max_length=1000, blank=True)
    attention_reason = models.CharField(_("needs attention"), max_length=300, null=True)
    attention_since = models.DateTimeField(null=True)
    unknown_since = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, null=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    claims = models.PositiveSmallIntegerField(default=0)
    # How often a worker took it up since one last finished with it: one that kills
    # its workers is put before a person.
    unfinished = models.PositiveSmallIntegerField(default=0)
    # After a restore the processor may know sends that this row does not.
    look_up_first = models.BooleanField(default=False)
    lookups = models.PositiveIntegerField(default=0)
    # When the processor last reported it, with this amount and in this or a later state.
    confirmed_at = models.DateTimeField(null=True)
    next_action_at = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("requested at"))
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        permissions = [
            ("request_refund", _("Can refund transactions")),
            ("approve_refund", _("Can approve refunds")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["idem_scope", "idem_key"], name="refund_request_is_made_once"
            ),
            models.UniqueConstraint(
                fields=["id", "account", "mode"], name="refund_identity"
            ),  # what attempts point at
            models.UniqueConstraint(
                fields=["account", "mode", "processor_refund_id"],
                condition=Q(processor_refund_id__isnull=False),
                name="processor_refund_is_one_refund",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__range=(1, MAX_MINOR)), name="refund_amount_is_positive"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="refund_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(origin__in=Origin.values), name="refund_origin_is_known"
            ),
            models.CheckConstraint(
                condition=Q(operation__in=[Operation.REFUND.value, Operation.VOID.value]),
                name="refund_operation_is_known",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("requested_by")),
                name="refund_approver_is_another_person",
            ),
            models.CheckConstraint(
                condition=Q(needs_approval=False)
                | Q(approved_by__isnull=False)
                | Q(status__in=[Status.AWAITING_APPROVAL, Status.CANCELED]),
                name="refund_is_approved_first",
            ),
            models.CheckConstraint(
                condition=Q(origin=Origin.EXTERNAL) | Q(requested_by__isnull=False),
                name="refund_of_ours_has_a_requester",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[Status.SUCCEEDED, Status.RETURNED])
                | Q(processor_refund_id__isnull=False)
                | Q(status=Status.RETURNED, failure_code=FailureCode.NOT_MADE.value),
                name="refund_that_succeeded_has_an_id",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=Status.SENDING, lease_until__isnull=False, lease_owner__isnull=False
                )
                | (
                    ~Q(status=Status.SENDING)
                    & Q(lease_until__isnull=True, lease_owner__isnull=True)
                ),
                name="refund_is_leased_while_sending",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.UNKNOWN) | Q(unknown_since__isnull=False),
                name="refund_unknown_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(attention_reason__isnull=True, attention_since__isnull=True)
                | Q(attention_reason__isnull=False, attention_since__isnull=False),
                name="refund_attention_has_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="refund_newest"),
            models.Index(fields=["transaction", "-created_at"], name="refund_by_transaction"),
            models.Index(fields=["requested_by", "-created_at"], name="refund_by_requester"),
            models.Index(fields=["status", "-created_at", "-id"], name="refund_by_status"),
            models.Index(
                fields=["status", "next_action_at"],
                condition=Q(status__in=sorted(MOVING)),
                name="refund_due",
            ),
            models.Index(
                fields=["attention_since"],
                condition=Q(attention_reason__isnull=False),
                name="refund_attention",
            ),
            models.Index(
                fields=["transaction"],
                condition=Q(status=Status.FAILED),
                name="refund_failed_transaction",
            ),
        ]

    def __str__(self) -> str:
        return gettext("%(amount)s of payment %(transaction)s") % {
            "amount": self.amount,
            "transaction": self.transaction_id,
        }

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def reserves(self) -> bool:
        return self.status in RESERVING

    @property
    def is_moving(self) -> bool:
        """Whether the status will change by itself."""
        return self.status in MOVING

    @property
    def waiting_ruling(self) -> Ruling | None:
        """What was proposed and waits for a second person; free where rulings are loaded."""
        return next((ruling for ruling in self.rulings.all() if ruling.decided_at is None), None)

    @property
    def is_taken_back(self) -> bool:
        """Whether people ruled that it was made, and then that it was not."""
        return self.status == Status.RETURNED and self.processor_refund_id is None

    @property
    def is_doubted(self) -> bool:
        """Whether it was canceled before anybody looked whether it had left before a restore."""
        return self.look_up_first and self.status == Status.CANCELED

    @property
    def counts_elsewhere(self) -> bool:
        """Whether its money went back, and the row made elsewhere that it is has not failed."""
        return self.made_as is not None and self.made_as.status in STANDING

    @property
    def counts_as_made(self) -> bool:
        """Whether its money has gone back, by this row or by another one."""
        return self.status == Status.SUCCEEDED or self.counts_elsewhere

    @property
    def was_called_off(self) -> bool:
        """Whether it was not sent because its money had gone back; free where events are loaded."""
        return any(event.kind == "made_before" for event in self.events.all())

    @property
    def is_cancelable(self) -> bool:
        return self.status in CANCELABLE

    @property
    def is_postponed(self) -> bool:
        """Whether it waits for more than the moment in which it can be undone."""
        soon = timezone.now() + timedelta(seconds=settings.UNDO_SECONDS)
        due = self.next_action_at
        waits = due is not None and due > soon and not self.unfinished
        return self.status == Status.QUEUED and waits


class RefundAttempt(models.Model):
    """One identity at the processor: its reference, what was sent under it, and every answer.

    A keyed processor may get the same ``order`` several times (``sends``), always under the same
    ``reference``. A second identity is impossible while one is started, ambiguous or accepted.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    refund = models.ForeignKey(Refund, models.PROTECT, related_name="attempts")
    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="+")
    mode = models.CharField(max_length=4, choices=Mode)
    credential_fingerprint = models.CharField(max_length=16)
    number = models.PositiveSmallIntegerField(_("number"))
    operation = models.CharField(_("operation"), max_length=6)
    reference = models.CharField(_("reference"), max_length=20, unique=True)
    order = models.JSONField()  # the canonical gateways.base.RefundOrder
    order_hash = models.BinaryField(max_length=32)
    state = models.CharField(_("state"), max_length=10, choices=AttemptState)
    sends = models.PositiveSmallIntegerField(_("sends"), default=0)
    fence = models.BigIntegerField()
    started_at = models.DateTimeField(_("started at"))
    first_sent_at = models.DateTimeField(null=True)
    last_sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    # The first and the last complete look-up after the quarantine that did not find it.
    first_absent_at = models.DateTimeField(null=True)
    last_absent_at = models.DateTimeField(null=True)
    processor_code = models.CharField(_("processor's code"), max_length=100, blank=True)
    processor_message = models.CharField(_("processor said"), max_length=1000, blank=True)
    exchanges = models.JSONField(default=list)  # scrubbed gateways.base.Exchange, oldest first

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["number"]
        indexes = [models.Index(fields=["account", "first_sent_at"], name="attempt_by_first_send")]
        constraints = [
            models.UniqueConstraint(
                fields=["refund", "number"], name="attempt_number_is_used_once"
            ),
            models.UniqueConstraint(
                fields=["refund"],
                condition=Q(
                    state__in=[
                        AttemptState.STARTED,
                        AttemptState.AMBIGUOUS,
                        AttemptState.ACCEPTED,
                    ]
                ),
                name="one_live_attempt",
            ),
            models.CheckConstraint(
                condition=Q(number__range=(1, MAX_ATTEMPTS)), name="attempts_are_few"
            ),
            models.CheckConstraint(condition=Q(sends__lte=MAX_SENDS), name="sends_are_few"),
            models.CheckConstraint(
                condition=Q(state__in=AttemptState.values), name="attempt_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(state=AttemptState.STARTED, ended_at__isnull=True)
                | (~Q(state=AttemptState.STARTED) & Q(ended_at__isnull=False)),
                name="attempt_ends_with_an_answer",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class RefundEvent(models.Model):
    """One thing that happened to a refund. Append-only; ``hash`` chains each row to the last.

    ``sequence``, ``at``, ``previous_hash`` and ``hash`` are set by the database, whoever inserts.
    """

    sequence = models.BigIntegerField(primary_key=True)
    refund = models.ForeignKey(Refund, models.PROTECT, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    from_status = models.CharField(max_length=20, blank=True)
    to_status = models.CharField(max_length=20, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["sequence"]
        indexes = [
            models.Index(fields=["refund", "sequence"], name="event_by_refund"),
            models.Index(fields=["-at", "-sequence"], name="event_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind}"
