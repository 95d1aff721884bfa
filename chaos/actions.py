"""What can happen to the business: people, workers, processors, time and bad luck, in random order.

Every action works in every situation, so that a schedule stays valid when steps are left out; what
is not possible just now does nothing. ``pick`` is the chance of the step alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

from django.contrib.auth.models import User

from gateways.failpoints import FAILPOINTS
from gateways.money import Money
from gateways.sandbox.faults import KINDS
from gateways.sandbox.signatures import FORGERIES
from refunds import approvals, services
from refunds.models import ApprovalRule, Refund, RuleKind
from refunds.services import NotAllowed, RefundRefused, RequestConflict, WrongStatus
from transactions.models import Transaction

from .broker import Message
from .cells import ON_THE_WAY
from .deliveries import deliver
from .judges import rule
from .processors import KEYED, Refused
from .world import World, people, reason

Action = Callable[[World, Random], None]
_PATHS = {
    "send_refund": ON_THE_WAY,
    "look_up_refund": ON_THE_WAY,
    "process_webhook": ("in-webhook-apply",),
    "publish_due": ("in-outbox-drain",),
    "look_up_due": ("in-outbox-drain",),
    "expire_leases": ("in-sweep",),
    "reconcile_all_accounts": ("in-reconcile-page",),
}
_REFUSALS = (NotAllowed, RefundRefused, RequestConflict, WrongStatus)
# Silence and dripping cost a second each, so they are rarer than the rest.
_FAULTS = [kind for kind in KINDS for _ in range(1 if kind in ("silence", "drip") else 6)]
_CALLS = (*("refund",) * 8, *("void",) * 3, "get_payment", "get_refund", "list_refunds", "")
_SPANS = [timedelta(seconds=n) for n in (5, 20, 70, 130, 400, 1_000, 4_000, 9_000, 50_000, 172_800)]


def request(world: World, pick: Random) -> None:
    """Somebody asks for money back: a part, all, or more than there is."""
    payment = _payment(world, pick)
    share = pick.choice((0.1, 0.25, 0.4, 0.5, 1, 1, 1, 1.2))
    left = payment.refundable.minor
    minor = max(1, int((left or payment.amount_minor) * share))
    seen = payment.refundable if pick.random() < 0.7 else None
    _ask(world, pick, payment, minor, seen, key=f"key-{pick.random()}")


def double_click(world: World, pick: Random) -> None:
    """The same request twice, and a third time with another amount."""
    payment = _payment(world, pick)
    key, person = f"key-{pick.random()}", _requester(pick)
    for minor in (1_000, 1_000, 1_100):
        _ask(world, pick, payment, minor, None, key=key, person=person)


def change_mind(world: World, pick: Random) -> None:
    """Somebody cancels, hurries, checks, tries again, approves or rejects a refund."""
    if refund := _refund(pick):
        wish = pick.choice(
            (
                services.cancel_refund,
                services.retry_refund,
                services.hurry_refund,
                services.check_refund,
                approvals.approve_refund,
                approvals.reject_refund,
            )
        )
        actor = _person(pick)
        _try(world, f"{actor} {wish.__name__} {refund.pk}", lambda: wish(refund, actor=actor))


def fire(world: World, pick: Random) -> None:
    """Somebody leaves at once; approved or not, what they asked for has lost its authority."""
    person = _person(pick)
    User.objects.filter(pk=person.pk).update(is_active=False)
    world.tell(f"{person} leaves")


def change_rules(world: World, pick: Random) -> None:
    """A manager sets a rule or takes one back: what is queued may have to wait for somebody."""
    kind = pick.choice((RuleKind.PAYMENT, RuleKind.DAY, RuleKind.APPROVING, RuleKind.TRIES))
    value = pick.choice((None, None, 0, 500, 3_000))
    currency = "USD" if kind.is_money else ""
    manager = people()[pick.choice((4, 5))]
    ApprovalRule.objects.create(kind=kind, currency=currency, value=value, made_by=manager)
    world.tell(f"{manager} sets {kind} to {value}")


def hire(world: World, _pick: Random) -> None:
    User.objects.update(is_active=True)
    world.tell("everybody is back")


def work(world: World, _pick: Random) -> None:
    """A worker takes a message."""
    if message := _next_message(world):
        _tell_work(world, message, "", world.work(message))


def work_and_die(world: World, pick: Random) -> None:
    """A worker takes a message and is killed on the way; the broker may hand it out again."""
    if message := _next_message(world):
        failpoint = pick.choice(_on_the_way(message))
        ending = world.work(message, failpoint)
        _tell_work(world, message, failpoint, ending)
        if ending == "killed" and pick.random() < 0.5:
            world.broker.send(message)


def work_and_stop(world: World, pick: Random) -> None:
    """A worker takes a message and its machine falls asleep on the way."""
    if len(world.stopped) < 2 and (message := _next_message(world)):
        failpoint = pick.choice(_ASLEEP)
        _tell_work(world, message, failpoint, world.work(message, failpoint, stop=True))


# Where a sleeping worker holds no lock that everybody else would wait for.
_ASLEEP = ("after-attempt-commit", "before-connect", "after-send", "after-response")


def wake(world: World, pick: Random) -> None:
    """A sleeping worker goes on, perhaps to find that others have taken over."""
    if world.stopped:
        child, _asleep = world.stopped.pop(pick.randrange(len(world.stopped)))
        world.tell(f"who stopped at {child.failpoint} wakes: {world.attempt(child.wake)}")


def beat(world: World, pick: Random) -> None:
    """Beat's messages for the sweeps come; perhaps whoever takes one is killed."""
    name, message = pick.choice(sorted(world.broker.of_beat().items()))
    failpoint = pick.choice(_on_the_way(message)) if pick.random() < 0.3 else ""
    ending = world.work(message, failpoint)
    world.tell(f"{name} {failpoint} {ending}")


def lose_messages(world: World, _pick: Random) -> None:
    world.tell(f"the broker loses {world.broker.flush()} messages")


def arm(world: World, pick: Random) -> None:
    """Something will break at the processor."""
    what, call = pick.choice(_FAULTS), pick.choice(_CALLS)
    when = pick.choice(("before", "after"))
    if what in ("wrong_echo", "wrong_type"):
        when = "after"
    if what == "refusal":
        return
    times = pick.choice((1, 1, 1, 2, 3))
    seconds = {"slow": 0.05, "429": 1.0}.get(what)
    more = {} if seconds is None else {"seconds": seconds}
    world.arm(call=call, what=what, when=when, times=times, megabytes=2, **more)
    world.tell(f"armed: {what} {when} {call or 'any call'} ×{times}")


def refund_by_hand(world: World, pick: Random) -> None:
    """Somebody refunds in the processor's own dashboard."""
    payment_id = pick.choice(world.payments)
    minor = pick.choice((100, 1_000, 5_000, 10_000))
    _at_processor(world, "refunds", payment_id=payment_id, amount_minor=minor)


def dispute(world: World, pick: Random) -> None:
    wish = {"dispute": pick.choice(("", "open", "chargeback"))}
    _at_processor(world, "payments", payment_id=pick.choice(world.payments), **wish)


def settle(world: World, pick: Random) -> None:
    payment_id = pick.choice(world.payments)
    books = world.processors.books(world.name)
    if any(each.id == payment_id and each.status == "captured" for each in books.payments):
        _at_processor(world, "payments", payment_id=payment_id, status="settled")


def send_back(world: World, pick: Random) -> None:
    """A refund that had succeeded or waits comes back."""
    refunds = world.processors.books(world.name).refunds
    able = [each for each in refunds if each.operation == "refund" and world.dialect in KEYED]
    able = [each for each in able if each.status in ("pending", "succeeded")]
    if able:
        _at_processor(world, "refunds", refund_id=pick.choice(able).id, status="failed")


def notify(world: World, pick: Random) -> None:
    """Webhooks arrive: in any order, again, or forged."""
    events = world.processors.books(world.name).events
    for event in pick.choices(events, k=min(3, len(events))):
        forge = pick.choice(sorted(FORGERIES)) if pick.random() < 0.15 else ""
        for _ in range(pick.choice((1, 1, 2))):
            status = deliver(world, event.id, forge)
            world.tell(f"webhook {event.type} {forge} → {status}")


def notify_and_die(world: World, pick: Random) -> None:
    """Who stores a webhook is killed; its processor sends it again some day."""
    events = world.processors.books(world.name).events
    if events:
        event = pick.choice(events)
        world.tell(f"webhook {event.type} {deliver(world, event.id, '', 'in-webhook-store')}")


def let_time_pass(world: World, pick: Random) -> None:
    span = pick.choice(_SPANS)
    world.let_time_pass(span)
    world.tell(f"{span} pass")


def reject_credentials(world: World, pick: Random) -> None:
    """Somebody changes the password at the processor."""
    known = world.processors.credentials(world.name)
    name = next(iter(known)) if world.dialect != "paypal" else "client_secret"
    if not world.rejected:
        world.arm(call="", what=pick.choice(("401", "403")), when="before", times=1_000)
        world.rejected = True
        world.tell(f"{name} is not accepted any more")


def fix_credentials(world: World, _pick: Random) -> None:
    if world.rejected:
        world.processors.clear_faults()
        world.rejected = False
        world.tell("credentials are accepted again")


def judge(world: World, _pick: Random) -> None:
    """Two people look a refund up at the processor and rule."""
    rule(world)


ACTIONS: dict[str, tuple[int, Action]] = {
    "request": (14, request),
    "double click": (3, double_click),
    "change mind": (5, change_mind),
    "change rules": (1, change_rules),
    "fire": (1, fire),
    "hire": (1, hire),
    "work": (22, work),
    "work and die": (16, work_and_die),
    "work and stop": (6, work_and_stop),
    "wake": (6, wake),
    "beat": (14, beat),
    "lose messages": (3, lose_messages),
    "arm": (14, arm),
    "refund by hand": (5, refund_by_hand),
    "dispute": (2, dispute),
    "settle": (3, settle),
    "send back": (3, send_back),
    "notify": (8, notify),
    "notify and die": (3, notify_and_die),
    "time": (14, let_time_pass),
    "reject credentials": (2, reject_credentials),
    "fix credentials": (3, fix_credentials),
    "judge": (3, judge),
}


def _ask(
    world: World,
    pick: Random,
    payment: Transaction,
    minor: int,
    seen: Money | None,
    *,
    key: str,
    person: User | None = None,
) -> None:
    actor = person or _requester(pick)
    _try(
        world,
        f"{actor} asks for {minor} of {payment.external_id}",
        lambda: services.request_refund(
            transaction=payment,
            amount=Money(minor, payment.currency),
            reason=reason(),
            note="",
            requested_by=actor,
            idempotency_key=key,
            expected_refundable=seen,
        ),
    )


def _try(world: World, words: str, step: Callable[[], object]) -> None:
    def refusable() -> str:
        try:
            step()
        except _REFUSALS as refusal:
            return f"no: {refusal}"
        return "yes"

    world.tell(f"{words}: {world.attempt(refusable)}")


def _at_processor(world: World, address: str, **wish: object) -> None:
    try:
        world.processors.post(address, **wish)
        answer = "done"
    except Refused as refusal:
        answer = str(refusal)
    world.tell(f"at the processor, {address} {wish}: {answer}")


def _tell_work(world: World, message: Message, failpoint: str, ending: str) -> None:
    task, args, _kwargs = message
    where = f" with {failpoint} armed" if failpoint else ""
    world.tell(f"{task.rpartition('.')[2]} {' '.join(map(str, args))}{where}: {ending}")


def _next_message(world: World) -> Message | None:
    """What a worker takes next; if there is nothing, what beat would have handed out by now."""
    if (message := world.broker.take()) is not None:
        return message
    for name in ("publish-due", "look-up-due", "publish-webhooks"):
        world.work(world.broker.of_beat()[name])
    return world.broker.take()


def _on_the_way(message: Message) -> Sequence[str]:
    """The failpoints that a worker with this message may come to."""
    task, _args, _kwargs = message
    return _PATHS.get(task.rpartition(".")[2], FAILPOINTS)


def _payment(world: World, pick: Random) -> Transaction:
    external_id = pick.choice(world.payments)
    return Transaction.objects.get(account=world.account, external_id=external_id)


def _person(pick: Random) -> User:
    return User.objects.get(pk=pick.choice(people()).pk)


def _requester(pick: Random) -> User:
    """Mostly somebody who may."""
    return (
        _person(pick)
        if pick.random() < 0.1
        else User.objects.get(pk=pick.choice((*people()[:2], *people()[4:])).pk)
    )


def _refund(pick: Random) -> Refund | None:
    refunds = list(Refund.objects.order_by("created_at", "pk"))
    return pick.choice(refunds) if refunds else None
