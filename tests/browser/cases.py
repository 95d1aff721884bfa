"""Cases of several kinds, as the services raise them from what the sandbox's processors do.

Only their ages are set by hand: nobody waits for hours in a test.
"""

from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone

from gateways.sandbox.server import SandboxServer
from refunds import rulings
from refunds.disputes import raise_disputes
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt, Verdict
from refunds.sweeps import flag_overdue
from refunds.sync import sync_account
from tests.refunds.desk import Desk
from tests.refunds.faults.play import looked_up, sent
from tests.refunds.raw import triggers_off
from tests.rest import make_refund

K = AttentionKind
_ABSENCES = ("first_absent_at", "last_absent_at")


def lose_an_answer(desk: Desk, person: User, minor: int = 2500, **payment: str) -> Refund:
    """A refund that never reached its processor, and nobody knows it."""
    refund = make_refund(desk.pay(10_000, **payment), minor, person)
    desk.arm("refund", "reset", "before")
    return sent(refund)


def age(refund: Refund, by: timedelta) -> None:
    """Let everything about the refund have happened so much earlier."""
    moments = ("started_at", "first_sent_at", "last_sent_at", "ended_at", *_ABSENCES)
    earlier = {moment: F(moment) - by for moment in moments}
    with triggers_off():  # these moments never change otherwise
        Refund.objects.filter(pk=refund.pk).update(unknown_since=F("unknown_since") - by)
        RefundAttempt.objects.filter(refund=refund).update(**earlier)


def wait_out(refund: Refund) -> Refund:
    """Two look-ups that count find nothing."""
    age(refund, timedelta(hours=30))
    looked_up(refund)
    age(refund, timedelta(minutes=40))
    refund = looked_up(refund)
    flag_overdue()
    return refund


def raise_cases(sandbox: SandboxServer, agent: User, approver: User) -> dict[str, Attention]:
    """The cases by kind; of the unknown ones ``waiting`` has a ruling and ``fresh`` has none."""
    authorizenet, stripe, paypal, nmi = (
        Desk(sandbox, name, None) for name in ("authorizenet", "stripe", "paypal", "nmi")
    )
    waiting = lose_an_answer(
        authorizenet, agent, payer_name="Maria Santos", payer_email="maria@example.com"
    )
    wait_out(waiting)
    rulings.propose(
        waiting,
        verdict=Verdict.SEND_AGAIN,
        evidence="Looked through today's unsettled list and both settled batches: it is not there.",
        actor=agent,
    )
    fresh = lose_an_answer(
        authorizenet, agent, 4000, payer_name="Jan Kowalski", payer_email="jan@example.com"
    )
    age(fresh, timedelta(minutes=20))
    flag_overdue()

    back = make_refund(stripe.pay(8_900, payer_name="Ana Popescu"), 8_900, agent)
    sent(back)
    stripe.post(
        "refunds", refund_id=Refund.objects.get(pk=back.pk).processor_refund_id, status="failed"
    )
    disputed = stripe.pay(12_000, payer_name="Li Wei")
    sent(make_refund(disputed, 3_000, agent))
    stripe.change(disputed, dispute="open")
    outside = paypal.pay(15_050, payer_name="Omar Haddad")
    paypal.post("refunds", payment_id=outside.external_id, amount_minor=5_050)
    for desk in (stripe, paypal):
        sync_account(desk.account)
    raise_disputes()
    refused = make_refund(nmi.pay(6_000, payer_name="Nur Aisyah"), 6_000, agent)
    nmi.post("accounts", account=nmi.name, credentials={"security_key": "revoked"})
    sent(refused)

    _spread_ages(approver)
    cases = {case.kind: case for case in Attention.objects.all()}
    return cases | {
        "waiting": Attention.objects.get(refund=waiting),
        "fresh": Attention.objects.get(refund=fresh),
    }


def _spread_ages(approver: User) -> None:
    hours = (29, 20, 7, 4, 2, 1)
    for case, passed in zip(Attention.objects.order_by("pk"), hours, strict=False):
        raised = timezone.now() - timedelta(hours=passed, minutes=7)
        Attention.objects.filter(pk=case.pk).update(raised_at=raised)
        Refund.objects.filter(cases=case.pk).update(attention_since=raised)
    Attention.objects.filter(kind=K.MADE_OUTSIDE).update(owner=approver)
