"""What was paid: the mirror of what the processors report, and the notes of staff on it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Concat, Greatest, Lower
from django.utils.translation import gettext_lazy as _

from gateways.models import Mode, Processor, ProcessorAccount
from gateways.money import CURRENCIES, Money, exponent_of


class Customer(models.Model):
    """A payer, known by e-mail across all processors.

    One that was merged into another keeps its address, so that what is paid under it later goes to
    the other one, and so that it can be parted again.
    """

    email = models.CharField(_("e-mail"), max_length=320, unique=True)  # lower case
    name = models.CharField(_("name"), max_length=300, blank=True)
    locale = models.CharField(_("language"), max_length=10, blank=True)
    is_vip = models.BooleanField(_("VIP"), default=False, db_default=False)
    # Their refunds need a second person. Whoever takes that back does so for others only.
    is_risky = models.BooleanField(_("risky"), default=False, db_default=False)
    cleared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # asked for by customer only
    )
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="absorbed"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # Since when nothing tells who they are: e-mail and name are a pseudonym.
    erased_at = models.DateTimeField(null=True)
    search_text = models.GeneratedField(
        expression=Lower(Concat("email", Value(" "), "name")),
        output_field=models.TextField(),
        db_persist=True,
    )

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        permissions = [
            ("merge_customer", _("Can merge customers, and part them again")),
            ("mark_customer", _("Can mark customers as risky, and take that back")),
            ("erase_customer", _("Can erase the personal data of customers")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(merged_into=F("id")), name="customer_is_not_merged_into_itself"
            )
        ]
        indexes = [
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(merged_into__isnull=True),
                name="customer_newest",
            ),
            models.Index(
                fields=["erased_at"],
                condition=Q(erased_at__isnull=False),
                name="customer_erased",
            ),
            GinIndex(OpClass("search_text", "gin_trgm_ops"), name="customer_search"),
        ]

    def __str__(self) -> str:
        return self.name or self.email


class TransactionStatus(models.TextChoices):
    """The values of :class:`gateways.base.PaymentStatus`, with words for staff."""

    AUTHORIZED = "authorized", _("Authorized")
    CAPTURED = "captured", _("Captured")
    SETTLED = "settled", _("Settled")
    VOIDED = "voided", _("Voided")
    FAILED = "failed", _("Failed")


class RefundProgress(models.TextChoices):
    """How much of a transaction was given back."""

    NONE = "none", _("Not refunded")
    IN_PROGRESS = "in_progress", _("Refund in progress")
    PARTIAL = "partial", _("Partly refunded")
    FULL = "full", _("Fully refunded")


# Money was taken, so it can go back.
TAKEN = (TransactionStatus.CAPTURED, TransactionStatus.SETTLED)
_MINOR_LEFT = F("amount_minor") - F("refunded_minor") - F("reserved_minor")

# Amounts of every currency on one scale: thousandths of its major unit.
THOUSANDTHS = F("amount_minor") * Case(
    *(
        When(
            currency__in=sorted(code for code in CURRENCIES if exponent_of(code) == exponent),
            then=10 ** (3 - exponent),
        )
        for exponent in (0, 3)
    ),
    default=10,
    output_field=models.BigIntegerField(),
)


class Transaction(models.Model):
    """One payment as its processor reports it, and the two sums that decide what may go back.

    ``refunded_minor`` and ``reserved_minor`` belong to :mod:`refunds`: sync never writes them,
    and a trigger compares them with the refund rows at every commit. ``external_id`` is the
    processor's id; ``related_ids`` are further ids of it, separated by spaces, for search.
    """

    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="transactions")
    processor = models.CharField(_("processor"), max_length=20, choices=Processor)
    mode = models.CharField(_("mode"), max_length=4, choices=Mode)
    external_id = models.CharField(_("processor's id"), max_length=100)
    related_ids = models.CharField(_("related ids"), max_length=300, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    amount_minor = models.BigIntegerField(_("amount"))
    refunded_minor = models.BigIntegerField(_("refunded"), default=0)
    reserved_minor = models.BigIntegerField(_("reserved"), default=0)
    over_refunded = models.BooleanField(_("refunded beyond the amount"), default=False)
    status = models.CharField(_("status"), max_length=12, choices=TransactionStatus)
    disputed = models.BooleanField(_("disputed"), default=False)
    # When a later reading found it so; empty for what was so when it was first read.
    disputed_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    method_type = models.CharField(_("method"), max_length=20, default="other")
    brand = models.CharField(_("brand"), max_length=30, blank=True)
    last4 = models.CharField(_("last four"), max_length=4, blank=True)
    wallet = models.CharField(_("wallet"), max_length=30, blank=True)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    customer_name = models.CharField(_("customer"), max_length=300, blank=True)
    customer_email = models.CharField(_("e-mail"), max_length=320, blank=True)
    order_reference = models.CharField(_("order"), max_length=300, blank=True)
    description = models.CharField(_("description"), max_length=1000, blank=True)
    created_at = models.DateTimeField(_("paid at"))  # the processor's time, not ours
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)
    # The same customer paid the same amount within DUPLICATE_WINDOW_MINUTES of it.
    has_twin = models.BooleanField(_("has a twin"), default=False, db_default=False)
    has_details = models.BooleanField(default=True)
    # Its payer is a pseudonym, and no reading brings back who it was.
    is_erased = models.BooleanField(default=False, db_default=False)
    synced_at = models.DateTimeField(_("last read"), auto_now_add=True)
    search_text = models.GeneratedField(
        expression=Lower(
            Concat(
                "external_id",
                Value(" "),
                "related_ids",
                Value(" "),
                "customer_name",
                Value(" "),
                "customer_email",
                Value(" "),
                "order_reference",
                Value(" "),
                "last4",
            )
        ),
        output_field=models.TextField(),
        db_persist=True,
    )
    refundable_minor = models.GeneratedField(
        expression=Case(
            When(status__in=["captured", "settled"], then=Greatest(_MINOR_LEFT, Value(0))),
            default=Value(0),
        ),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    refund_state = models.GeneratedField(
        expression=Case(
            When(reserved_minor__gt=0, then=Value("in_progress")),
            When(refunded_minor=0, then=Value("none")),
            When(refunded_minor__lt=F("amount_minor"), then=Value("partial")),
            default=Value("full"),
        ),
        output_field=models.CharField(max_length=12, choices=RefundProgress),
        db_persist=True,
    )

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        permissions = [
            ("sync_transaction", _("Can pull transactions from the processors")),
            ("export_transaction", _("Can export transactions")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "external_id"], name="transaction_is_known_once_per_account"
            ),
            # What composite foreign keys of refunds point at, so that account, mode and
            # currency of a refund can never differ from its transaction's.
            models.UniqueConstraint(
                fields=["id", "currency", "mode", "account"], name="transaction_identity"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex="^[A-Z]{3}$"), name="transaction_currency_is_iso"
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0, refunded_minor__gte=0, reserved_minor__gte=0),
                name="transaction_sums_are_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(over_refunded=True)
                | Q(amount_minor__gte=F("refunded_minor") + F("reserved_minor")),
                name="transaction_is_not_over_refunded",
            ),
            models.CheckConstraint(
                condition=Q(status__in=TransactionStatus.values),
                name="transaction_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(mode__in=Mode.values), name="transaction_mode_is_known"
            ),
        ]
        indexes = [
            # Every list walks one of these from its newest end and reads no further than a page.
            models.Index(fields=["-created_at", "-id"], name="transaction_newest"),
            models.Index(
                fields=["processor", "-created_at", "-id"], name="transaction_by_processor"
            ),
            models.Index(fields=["account", "-created_at", "-id"], name="transaction_by_account"),
            models.Index(
                fields=["refund_state", "-created_at", "-id"], name="transaction_by_refund_state"
            ),
            models.Index(fields=["customer", "-created_at", "-id"], name="transaction_by_customer"),
            models.Index(fields=["status", "-created_at", "-id"], name="transaction_by_status"),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(disputed=True),
                name="transaction_disputed",
            ),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(has_twin=True),
                name="transaction_with_a_twin",
            ),
            models.Index(
                fields=["account", "voided_at"],
                condition=Q(voided_at__isnull=False),
                name="transaction_voided",
            ),
            models.Index(
                fields=["account", "id"],
                condition=Q(has_details=False),
                name="transaction_lacks_details",
            ),
            models.Index(fields=["currency", "-created_at", "-id"], name="transaction_by_currency"),
            models.Index(fields=["brand", "-created_at", "-id"], name="transaction_by_brand"),
            models.Index(
                fields=["last4", "brand"], condition=~Q(last4=""), name="transaction_by_card"
            ),
            # Nearly all are paid by card: those are found along the newest.
            models.Index(
                fields=["method_type", "-created_at", "-id"],
                condition=~Q(method_type="card"),
                name="transaction_by_method",
            ),
            models.Index(
                fields=["wallet", "-created_at", "-id"],
                condition=~Q(wallet=""),
                name="transaction_by_wallet",
            ),
            models.Index(THOUSANDTHS, name="transaction_by_amount"),
            GinIndex(OpClass("search_text", "gin_trgm_ops"), name="transaction_search"),
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def refunded(self) -> Money:
        return Money(self.refunded_minor, self.currency)

    @property
    def reserved(self) -> Money:
        return Money(self.reserved_minor, self.currency)

    @property
    def given_back(self) -> Money:
        """What went back or is on its way."""
        return Money(self.refunded_minor + self.reserved_minor, self.currency)

    @property
    def refundable(self) -> Money:
        """What may still go back, by the sums: nothing while no money was taken."""
        return Money(self.refundable_minor, self.currency)


class Note(models.Model):
    """What somebody of staff wrote on a transaction. Never changed, never shown to the customer."""

    transaction = models.ForeignKey(Transaction, models.PROTECT, related_name="notes")
    text = models.TextField(_("text"), max_length=5000)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("written at"), auto_now_add=True)

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        ordering = ["-created_at", "-id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="note_is_not_empty")]

    def __str__(self) -> str:
        return self.text[:60]


class Exchange(models.Model):
    """A customer got something else: the payment that is given back, and the one for the other."""

    original = models.ForeignKey(Transaction, models.PROTECT, related_name="exchanged_for")
    replacement = models.ForeignKey(Transaction, models.PROTECT, related_name="exchanged_from")
    linked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    linked_at = models.DateTimeField(_("linked at"), auto_now_add=True)

    class Meta:
        verbose_name = _("exchange")
        verbose_name_plural = _("exchanges")
        default_permissions = ("add", "delete")
        constraints = [
            models.UniqueConstraint(
                fields=["original", "replacement"], name="exchange_is_linked_once"
            ),
            models.CheckConstraint(
                condition=~Q(original=F("replacement")), name="exchange_is_for_another_payment"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.original_id} → {self.replacement_id}"


class SavedView(models.Model):
    """A search and filters of the transactions table, under a name.

    ``query`` is what :func:`transactions.saved_views.canonical` makes of an address.
    """

    NAME_LENGTH, QUERY_LENGTH = 60, 2000

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    query = models.CharField(_("query"), max_length=QUERY_LENGTH)
    is_shared = models.BooleanField(_("shared"), default=False)

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        default_permissions = ()
        permissions = [("share_savedview", _("Can share views of the transactions"))]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="saved_view_has_its_own_name"),
            models.CheckConstraint(
                condition=~Q(name="") & ~Q(query=""), name="saved_view_is_not_empty"
            ),
        ]
        indexes = [
            models.Index(fields=["name"], condition=Q(is_shared=True), name="saved_view_shared")
        ]

    def __str__(self) -> str:
        return self.name


class Stream(models.TextChoices):
    PAYMENTS = "payments", _("Payments")
    REFUNDS = "refunds", _("Refunds")


class SyncState(models.Model):
    """How far one stream of one account was read, so that the next run goes on from there.

    A window ``[window_since, window_until)`` is being read while ``cursor`` is set; after its last
    page ``synced_until`` moves to ``window_until``. ``counts``, ``rejected``: of the last run.
    """

    account = models.ForeignKey(ProcessorAccount, models.CASCADE, related_name="sync_states")
    stream = models.CharField(max_length=10, choices=Stream)
    synced_until = models.DateTimeField(_("read until"), null=True)
    window_since = models.DateTimeField(null=True)
    window_until = models.DateTimeField(null=True)
    cursor = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    counts = models.JSONField(default=dict)
    rejected = models.JSONField(default=list)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("sync state")
        verbose_name_plural = _("sync states")
        constraints = [
            models.UniqueConstraint(fields=["account", "stream"], name="one_sync_state_per_stream")
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.stream}"
