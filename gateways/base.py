"""The one interface of every payment processor, and the value objects it speaks.

Adapters know their processor and nothing of Django, Celery or our models. They take and
return the frozen dataclasses below. A refusal is a result; :class:`~gateways.errors.NotSent`
means that certainly nothing happened; whatever is not proven is
:class:`~gateways.errors.OutcomeUnknown`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from .card_numbers import mask_card_numbers
from .errors import NotSent, OutcomeUnknown
from .money import Money
from .scrubbing import storable

if TYPE_CHECKING:
    from .transport import Transport

Record = TypeVar("Record")
Read = TypeVar("Read")


class PaymentStatus(StrEnum):
    """Where a payment stands at its processor."""

    AUTHORIZED = "authorized"  # money is held, not taken
    CAPTURED = "captured"  # taken, waits for settlement
    SETTLED = "settled"  # taken and settled (or the processor makes no difference)
    VOIDED = "voided"  # called off before it settled
    FAILED = "failed"  # declined, expired or broken: no money was kept


class RefundState(StrEnum):
    """Where a refund stands at its processor."""

    PENDING = "pending"  # accepted, not final
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # not paid, or called off: the money is ours again


class Operation(StrEnum):
    """How money goes back: a refund, or cancelling a payment that has not settled, always whole."""

    REFUND = "refund"
    VOID = "void"


class FailureCode(StrEnum):
    """Why a processor refused, in our words: one short list for all processors."""

    ALREADY_REFUNDED = "already_refunded"
    EXCEEDS_REFUNDABLE = "exceeds_refundable"
    NOT_SETTLED = "not_settled"
    TOO_OLD = "too_old"
    DISPUTED = "disputed"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    DECLINED_BY_BANK = "declined_by_bank"
    CARD_NOT_VALID = "card_not_valid"
    PAYMENT_NOT_FOUND = "payment_not_found"
    NOT_CAPTURED = "not_captured"  # no money of the payment is kept
    NOT_REFUNDABLE = "not_refundable"
    NOT_VOIDABLE = "not_voidable"
    INVALID_AMOUNT = "invalid_amount"
    CURRENCY_NOT_ACCEPTED = "currency_not_accepted"
    BLOCKED_BY_RULES = "blocked_by_rules"
    LIMIT_REACHED = "limit_reached"
    ACCOUNT_PROBLEM = "account_problem"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    RETURNED = "returned"
    NOT_MADE = "not_made"  # two people ruled so, after an answer that proved nothing
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer as evidence, scrubbed of secrets and cut to size."""

    at: datetime
    method: str
    url: str
    request: str
    status: int | None  # HTTP status; None when there was no answer
    response: str
    request_id: str = ""  # the processor's support id
    error: str = ""  # what broke, when there was no whole answer
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal: our code, and what the processor said, word for word."""

    code: FailureCode
    processor_code: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "processor_code", storable(self.processor_code))
        object.__setattr__(self, "message", mask_card_numbers(storable(self.message)))


@dataclass(frozen=True, slots=True)
class Payer:
    """Who paid, as far as the processor says."""

    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """How it was paid.

    ``type`` is card, bank, wallet or other; ``wallet`` is apple_pay, google_pay, paypal and so on.
    """

    type: str = "other"
    brand: str = ""
    last4: str = ""
    wallet: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment as its processor reports it.

    ``amount`` is what was captured (what was authorised, while nothing is captured).
    ``related_ids`` are other ids of the same payment that staff may search for (payment intent,
    PayPal order).
    ``has_details`` is False when the processor's list leaves out what :meth:`get_payment` tells.
    All times are aware and in UTC.
    """

    external_id: str
    amount: Money
    status: PaymentStatus
    created_at: datetime
    settled_at: datetime | None = None
    disputed: bool = False
    payer: Payer = Payer()
    method: PaymentMethod = PaymentMethod()
    order_reference: str = ""
    description: str = ""
    related_ids: tuple[str, ...] = ()
    has_details: bool = True


@dataclass(frozen=True, slots=True)
class ReportedRefund:
    """One refund as its processor reports it, ours or somebody else's.

    ``payment_id`` is the ``external_id`` of the payment, empty when the processor does not name it
    (``last4`` and ``payer`` then help to find it). ``reference`` is our attempt's reference when
    the processor gives it back, else empty. ``amount`` is positive. Where the processor lists
    refunds without ids (``has_own_id`` False), ``external_id`` is made of the payment's id and the
    place in its history.
    """

    external_id: str
    payment_id: str
    amount: Money
    state: RefundState
    created_at: datetime
    operation: Operation = Operation.REFUND
    reference: str = ""
    last4: str = ""
    payer: Payer = Payer()
    failure: Failure | None = None
    has_own_id: bool = True


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record of a list that we could not read: which one, and why, in a sentence."""

    external_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """One page of a list. ``cursor`` resumes after it and is empty on the last page."""

    records: tuple[Record, ...]
    rejected: tuple[BadRecord, ...] = ()
    cursor: str = ""
    total: int | None = None  # of the whole list, where the processor says


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """What we ask a processor to do: everything a request is built from, and nothing that changes.

    ``reference`` is the attempt's identity (at most 20 characters of ``A-Z0-9``), unique for ever:
    idempotency key where there are keys, order or invoice id elsewhere. The same order always
    serialises to the same bytes. ``first_sent_at`` bounds look-ups and is never sent; whoever
    sends an order for the first time leaves it None, because an answer to a second try proves less.
    """

    reference: str
    payment_id: str
    amount: Money
    payment_amount: Money
    operation: Operation = Operation.REFUND
    reason: str = ""
    method_type: str = "card"
    last4: str = ""
    related_ids: tuple[str, ...] = ()
    refund_id: str = ""  # the processor's id of the refund, once known
    first_sent_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RefundResult:
    """A parsed, proven answer to a refund or void; ``failure`` is set exactly when refused."""

    state: RefundState
    refund_id: str = ""
    amount: Money | None = None  # as echoed; None where the processor does not echo it
    failure: Failure | None = None
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the processor knows of an order: every refund that is ours.

    ``complete`` is True when the whole place where it could stand was read; only then does an
    empty result speak, and even then not at once (processors list new refunds with a lag).
    ``likely`` are refunds of the same amount that bear no reference: ours or somebody else's, which
    only a person can tell.
    """

    matches: tuple[ReportedRefund, ...]
    complete: bool
    exchanges: tuple[Exchange, ...] = ()
    likely: tuple[ReportedRefund, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookNotice:
    """What a verified webhook is about. It proves nothing: the processor is asked again.

    ``event_id`` is unique within its account for ever. A notice that names neither a payment nor a
    refund is of a kind that does not concern us.
    """

    event_id: str
    event_type: str
    occurred_at: datetime | None = None
    payment_id: str = ""
    refund_id: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Reread:
    """What a processor says now of the payments and refunds that a notice was about."""

    payments: tuple[Payment, ...] = ()
    refunds: tuple[ReportedRefund, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a processor can do, and the limits it sets."""

    idempotency_key_life: timedelta | None  # None: it has no keys; one shot, then look up
    voids_unsettled: bool  # a payment that has not settled is voided, whole, instead of refunded
    refund_age_limit: timedelta | None
    lookup_lag: timedelta  # how long a new refund may be missing from its lists
    list_window: timedelta | None = None  # longest span that one list call may ask for
    lists_by_modification: bool = False  # a list window means "changed in", not "created in"
    lists_disputes: bool = True  # its lists say which payments are disputed; else only details do
    keeps_references: bool = True  # what it lists as refunds of ours bears the reference we sent
    arrival_days: tuple[int, int] | None = None  # business days until the customer sees the money


@dataclass(frozen=True, slots=True)
class Account:
    """One set of credentials, as an adapter needs it.

    ``currency`` is the account's only currency where the processor does not name one per payment.
    ``webhook_verification`` is who checks PayPal's signatures: ``offline`` (we) or ``api`` (it).
    """

    slug: str
    mode: str  # "test" or "live"
    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    currency: str = ""
    webhook_verification: str = "offline"


class PaymentGateway(ABC):
    """Speaks one processor's protocol for one account. Not shared between threads."""

    processor: ClassVar[str]
    label: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    credential_names: ClassVar[tuple[str, ...]]  # needed to send
    webhook_credential_names: ClassVar[tuple[str, ...]] = ()  # needed to receive
    default_base_urls: ClassVar[Mapping[str, str]]  # by mode

    def __init__(self, account: Account, transport: Transport) -> None:
        self.account = account
        self.transport = transport

    @abstractmethod
    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Payment]]:
        """Pages of payments of the window, oldest window first, resumable after any page.

        Raises NotSent or OutcomeUnknown when a page cannot be read; what was yielded stands.
        """

    @abstractmethod
    def get_payment(self, payment_id: str) -> Payment | None:
        """The payment with all its details as of now; None when the processor does not know it."""

    @abstractmethod
    def list_refunds(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[ReportedRefund]]:
        """Pages of refunds and voids of the window, ours and others'."""

    @abstractmethod
    def refund(self, order: RefundOrder) -> RefundResult:
        """Give ``order.amount`` back. Raises NotSent or OutcomeUnknown."""

    @abstractmethod
    def void(self, order: RefundOrder) -> RefundResult:
        """Cancel the whole unsettled payment. Raises NotSent or OutcomeUnknown."""

    @abstractmethod
    def find_refund(self, order: RefundOrder) -> Lookup:
        """Look for what became of an order. Changes nothing. Raises NotSent or OutcomeUnknown."""

    @abstractmethod
    def check_credentials(self) -> str:
        """Make one harmless read call; return a sentence that names whose account it is.

        Raises NotSent (reason ``credentials`` or ``unreachable``), OutcomeUnknown or Misconfigured.
        """

    @abstractmethod
    def parse_webhook(
        self, headers: Mapping[str, str], body: bytes, *, received_at: datetime | None = None
    ) -> WebhookNotice:
        """Verify a webhook against the account's secret, and say what it is about.

        Header names come in any case; ``body`` is as it came, byte for byte; ``received_at`` None
        is now. Raises InvalidWebhook (signature, age, mode or shape), Misconfigured without a
        secret, NotSent or OutcomeUnknown where verifying needs the processor, which is silent.
        """

    @abstractmethod
    def read_again(self, notice: WebhookNotice) -> Reread:
        """The named payment and its refunds, as they are now. Raises NotSent or OutcomeUnknown."""

    def _begin(self, order: RefundOrder) -> None:
        """Drop old evidence, and refuse what must never be sent: to some, no amount means all.

        Raises NotSent (reason ``refused_locally``).
        """
        self.transport.take_exchanges()
        currency = order.amount.currency
        if order.amount.minor < 1 or currency != order.payment_amount.currency:
            problem = f"{order.amount} cannot be given back of a payment of {order.payment_amount}"
        elif order.amount.minor % self.smallest_step(currency):
            smallest = Money(self.smallest_step(currency), currency)
            problem = f"{self.label} takes multiples of {smallest} only, so not {order.amount}"
        elif order.operation is Operation.VOID and order.amount != order.payment_amount:
            problem = "A payment is only ever cancelled as a whole"
        else:
            return
        raise NotSent(f"{problem}. Nothing was sent.", reason="refused_locally")

    def _proven(self, read: Callable[[], Read]) -> Read:
        """What ``read`` makes of an answer. Raises OutcomeUnknown in place of its ValueError."""
        try:
            return read()
        except ValueError as error:
            raise OutcomeUnknown(
                f"{self.label} answered, but {error}.", exchanges=self.transport.exchanges
            ) from error

    @classmethod
    def smallest_step(cls, currency: str) -> int:
        """Amounts must be a multiple of this many minor units (PayPal takes whole HUF: 100)."""
        return 1
