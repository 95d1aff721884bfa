"""Holds every row of ours against the processor's books, and says what does not fit.

The processor's books are the truth about money. Each finding has a category, and is a sentence
with the rows that it is about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from audit.chains import first_break
from gateways.models import ProcessorAccount
from gateways.sandbox.records import LedgerRefund
from refunds.history import CHAINS
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Attention, AttentionKind, Refund, RefundEvent, WebhookEvent
from refunds.models.webhook import WebhookState
from refunds.states import Origin, Status
from transactions.models import Transaction

from .processors import Books
from .report import Finding

_GIVEN = ("pending", "requires_action", "succeeded")
_ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.RETURNED)
# Pending there is a batch that goes to the bank at night, for processors that settle so.
_FITS = {
    Status.SUCCEEDED: ("succeeded", "pending"),
    Status.PENDING: ("pending", "requires_action"),
    Status.FAILED: ("failed", "canceled"),
    Status.RETURNED: ("failed", "canceled"),
}
_MOST_SENDS = 6
_MONEY_CALLS = ("refund", "void")


@dataclass
class _Intent:
    """A refund of ours with the identities under which it may have been sent."""

    row: Refund
    references: set[str]
    made: list[LedgerRefund] = field(default_factory=list)  # by those identities, whatever became

    @property
    def given(self) -> list[LedgerRefund]:
        return [each for each in self.made if each.status in _GIVEN]


def findings(account: ProcessorAccount, books: Books, *, lied: bool = False) -> list[Finding]:
    """Everything in our rows that the books contradict; empty when all is well.

    ``lied`` says that the processor refused what it had made: then a wrong end is not ours.
    """
    comparison = _Comparison(account, books)
    return [*comparison.run(), *(() if lied else comparison.wrong_ends())]


class _Comparison:
    def __init__(self, account: ProcessorAccount, books: Books) -> None:
        self.account = account
        self.books = books
        rows = Refund.objects.filter(account=account).select_related("transaction")
        self.rows = list(rows.prefetch_related("attempts").order_by("created_at"))
        self.payments = {payment.id: payment for payment in books.payments}
        self.intents = [
            _Intent(row, {attempt.reference for attempt in row.attempts.all()})
            for row in self.rows
            if row.origin != Origin.EXTERNAL
        ]
        of_reference = {each: intent for intent in self.intents for each in intent.references}
        self.owners: dict[str, _Intent] = {}
        for made in books.refunds:
            if made.origin == "api" and (owner := of_reference.get(made.reference)):
                owner.made.append(made)
                self.owners[made.id] = owner
        # A refund that fits no payment, or several, is before a person instead of in a row.
        cases = Attention.objects.filter(account=account, kind=AttentionKind.UNPLACED)
        self.unplaced = {case.subject.rpartition(":")[2] for case in cases}
        self.booked = self._bookings()

    def run(self) -> Iterator[Finding]:
        yield from self._doubles()
        yield from self._unbooked()
        yield from self._open_ends()
        yield from self._over_refunds()
        yield from self._wrong_statuses()
        yield from self._sends()
        yield from self._broken_promises()

    def _bookings(self) -> dict[str, list[Refund]]:
        """For each refund of the books, the rows of ours that stand for it."""
        booked: dict[str, list[Refund]] = defaultdict(list)
        by_id = {row.processor_refund_id: row for row in self.rows if row.processor_refund_id}
        left = [row for row in self.rows if row.status in (*_FITS, Status.UNKNOWN)]
        without: list[LedgerRefund] = []
        for made in self.books.refunds:
            row = by_id.get(made.id)
            if row is None and (owner := self.owners.get(made.id)) and owner.row in left:
                row = owner.row
            if row is None:
                if made.id not in self.unplaced:
                    without.append(made)
                continue
            booked[made.id].append(row)
            if row in left:
                left.remove(row)
        # Voids, and refunds that a processor lists without ids, have made-up ids here.
        for made in without:
            alike = [row for row in left if _alike(row, made)]
            alike.sort(key=lambda row: made.status not in _FITS.get(Status(row.status), ()))
            if alike:
                booked[made.id].append(alike[0])
                left.remove(alike[0])
        return booked

    def _doubles(self) -> Iterator[Finding]:
        for intent in self.intents:
            if len(intent.given) > 1:
                yield "doubles", f"{_tell(intent.row)} was made as {_list(intent.given)}"

    def _unbooked(self) -> Iterator[Finding]:
        for made in self.books.refunds:
            told = made.id in self.unplaced
            if made.status in _GIVEN and not self.booked[made.id] and not told:
                yield "lost", f"{_list([made])} at the processor has no row here"

    def _open_ends(self) -> Iterator[Finding]:
        for row in self.rows:
            if row.status not in _ENDED and row.attention_reason is None:
                yield "lost", f"{_tell(row)} has not ended, and nobody is told"

    def _over_refunds(self) -> Iterator[Finding]:
        given: Counter[str] = Counter()
        by_hand: Counter[str] = Counter()
        for made in self.books.refunds:
            if made.status in _GIVEN:
                given[made.payment_id] += made.amount_minor
                by_hand[made.payment_id] += made.amount_minor if made.origin == "dashboard" else 0
        for payment_id, minor in given.items():
            payment = self.payments.get(payment_id)
            if payment and minor > payment.amount_minor and not by_hand[payment_id]:
                sentence = f"{minor} of {payment.amount_minor} went back of {payment_id}"
                yield "over-refunds", sentence
        for row in Transaction.objects.filter(account=self.account):
            promised = row.refunded_minor + row.reserved_minor
            told = Attention.objects.filter(transaction=row, kind="over_refunded").exists()
            if promised > row.amount_minor and not told:
                yield "over-refunds", f"{row.external_id}: {promised} of {row.amount_minor}, untold"

    def _wrong_statuses(self) -> Iterator[Finding]:
        stand_for: dict[object, LedgerRefund] = {}
        for made in self.books.refunds:
            for row in self.booked[made.id]:
                if made.status in _GIVEN or row.pk not in stand_for:
                    stand_for[row.pk] = made
        for row in self.rows:
            made_as = stand_for.get(row.pk)
            if row.status in (Status.SUCCEEDED, Status.RETURNED, Status.PENDING) and not made_as:
                yield "wrong status", f"{_tell(row)} is not in the books"
            elif made_as and made_as.status not in _FITS.get(Status(row.status), (made_as.status,)):
                yield "wrong status", f"{_tell(row)} is {_list([made_as])} in the books"
            elif made_as and made_as.amount_minor != row.amount_minor and not row.attention_reason:
                yield "wrong status", f"{_tell(row)} is of {made_as.amount_minor} in the books"
        for intent in self.intents:
            ended_without = intent.row.status in (Status.FAILED, Status.CANCELED)
            if ended_without and intent.given and not intent.row.attention_reason:
                yield "wrong status", f"{_tell(intent.row)}, but {_list(intent.given)} was made"

    def wrong_ends(self) -> Iterator[Finding]:
        """Refunds that were given up for a while, and were made: silence taken for a refusal."""
        corrected = RefundEvent.objects.filter(
            from_status=Status.FAILED, to_status=Status.SUCCEEDED
        ).exclude(refund__origin=Origin.EXTERNAL)
        for event in corrected.select_related("refund"):
            yield "wrong status", f"{_tell(event.refund)} had counted as failed"

    def _sends(self) -> Iterator[Finding]:
        """The same identity always with the same bytes, and never too often."""
        keyed = self.account.processor in ("stripe", "paypal")
        sent: dict[str, list[str]] = defaultdict(list)
        references = {each for intent in self.intents for each in intent.references}
        for request in self.books.requests:
            if request.dialect == self.account.processor and request.call in _MONEY_CALLS:
                content = str(sorted(request.headers.items())) + request.body
                named = [reference for reference in references if reference in content]
                for reference in named:
                    sent[reference].append(request.body)
                if not named and request.call == "refund":  # a void needs no identity
                    yield "unexplained", f"{content} was sent, and no attempt is called so"
        for reference, bodies in sent.items():
            if len(bodies) > (_MOST_SENDS if keyed else 1):
                yield "unexplained", f"{reference} was sent {len(bodies)} times"
            if len(set(bodies)) > 1:
                yield "unexplained", f"{reference} was sent with different bytes: {set(bodies)}"

    def _broken_promises(self) -> Iterator[Finding]:
        for invariant in INVARIANTS:
            for row_id, why in broken_rows(invariant):
                yield "unexplained", f"{invariant.name}: {row_id} {why}"
        for chain in CHAINS:
            if broken := first_break(chain):
                why = f"{chain.table} is broken at {broken.sequence}: {broken.why}"
                yield "unexplained", f"The audit trail {why}"
        stuck = WebhookEvent.objects.filter(
            account=self.account, state__in=[WebhookState.RECEIVED, WebhookState.FAILED]
        )
        stuck = stuck.exclude(refund_id__in=self.unplaced)
        for event in stuck.exclude(cases__closed_at__isnull=True, cases__isnull=False):
            yield "unexplained", f"Webhook {event.event_id} is {event.state}: {event.problem}"


def _alike(row: Refund, made: LedgerRefund) -> bool:
    return (
        row.transaction.external_id == made.payment_id
        and row.amount_minor == made.amount_minor
        and row.operation == made.operation
    )


def _tell(row: Refund) -> str:
    flagged = f", flagged “{row.attention_reason}”" if row.attention_reason else ""
    return (
        f"{row.origin} refund {row.pk} of {row.amount_minor} ({row.status}, "
        f"{row.processor_refund_id or 'no id'}{flagged})"
    )


def _list(made: list[LedgerRefund]) -> str:
    return ", ".join(
        f"{each.id} ({each.operation} {each.amount_minor} {each.status})" for each in made
    )
