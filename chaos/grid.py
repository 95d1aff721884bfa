"""Playing a cell of the grid.

One cell is one refund that meets one crash and one fault, and what becomes of it: first nobody
intervenes, then two people rule about what cannot be proven.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from gateways.money import Money
from refunds.models import Refund
from refunds.services import request_refund

from .broker import Message
from .cells import Cell
from .deliveries import deliver
from .healing import heal, sweep
from .processors import LONGEST_LAG
from .report import Result
from .schedules import judged
from .world import World, people, reason

# A refusal is in the processor's own words: one that it certainly means.
_CODES = {
    "stripe": "charge_disputed",
    "paypal": "REFUND_NOT_ALLOWED",
    "authorizenet": "54",
    "nmi": "300",
}
_LEASE = timedelta(seconds=130)
# Longer than any wait before a refund that did not leave is tried again.
_NEXT_TURN = timedelta(minutes=11)


def run(world: World, cell: Cell) -> Result:
    """Play one cell to its end, and compare the books."""
    started = time.monotonic()
    world.begin(cell.dialect)
    world.broker.flush()
    payment = world.pay(
        10_000, currency="USD", status="settled" if cell.call == "refund" else "captured"
    )
    world.behave(lookup_lag_seconds=LONGEST_LAG[cell.dialect])
    refund, _new = request_refund(
        transaction=payment,
        amount=Money(10_000 if cell.call == "void" else 4_000, "USD"),
        reason=reason(),
        note="",
        requested_by=people()[0],
        idempotency_key=cell.name,
    )
    _arm(world, cell)
    play = _die_later if cell.is_later else _PLAYS.get(cell.failpoint, _die_on_the_way)
    play(world, cell, refund)
    heal(world)
    return Result(
        cell.dialect,
        "grid",
        cell.name,
        judged(world),
        world.story,
        world.deaths,
        time.monotonic() - started,
    )


def _arm(world: World, cell: Cell) -> None:
    world.lied = cell.what == "refusal" and cell.when == "after"
    code = {"code": _CODES[cell.dialect]} if cell.what == "refusal" else {}
    seconds = {"slow": 0.05, "silence": 2.0, "drip": 0.5, "429": 1.0}.get(cell.what, 0)
    world.arm(call=cell.call, what=cell.what, when=cell.when, seconds=seconds, megabytes=2, **code)


def _send(refund: Refund) -> Message:
    return "refunds.tasks.send_refund", [str(refund.pk)], {}


def _work(world: World, message: Message, failpoint: str) -> None:
    task, args, _kwargs = message
    ending = world.work(message, failpoint)
    world.tell(f"{task} {' '.join(map(str, args))} with {failpoint or 'nothing'} armed: {ending}")


def _die_on_the_way(world: World, cell: Cell, refund: Refund) -> None:
    """The worker that sends is killed, and its message comes again at once."""
    world.broker.flush()
    _work(world, _send(refund), cell.failpoint)
    _work(world, _send(refund), "")


def _die_later(world: World, cell: Cell, refund: Refund) -> None:
    """Who meets the fault lives, and who has the refund next is killed, looking up or sending."""
    world.broker.flush()
    _work(world, _send(refund), "")
    world.let_time_pass(_NEXT_TURN)
    _work(world, ("refunds.tasks.look_up_refund", [str(refund.pk)], {}), cell.failpoint)
    _work(world, _send(refund), cell.failpoint)


def _die_handing_out(world: World, cell: Cell, _refund: Refund) -> None:
    """The broker lost the message, and the sweep that hands it out again is killed."""
    world.broker.flush()
    world.let_time_pass(timedelta(seconds=20))
    _work(world, ("refunds.tasks.publish_due", [], {}), cell.failpoint)
    world.broker.flush()


def _die_sweeping(world: World, cell: Cell, refund: Refund) -> None:
    """A sender dies, and so does the sweep that finds its lease run out."""
    world.broker.flush()
    _work(world, _send(refund), "after-send")
    world.let_time_pass(_LEASE)
    _work(world, ("refunds.tasks.expire_leases", [], {}), cell.failpoint)


def _die_taking_in(world: World, cell: Cell, refund: Refund) -> None:
    """The site is killed while it stores the webhook of the refund, which comes again."""
    _die_on_the_way(world, cell, refund)
    for event in world.processors.books(world.name).events:
        world.tell(f"webhook {event.type}: {deliver(world, event.id, '', cell.failpoint)}")
        world.tell(f"webhook {event.type}: {deliver(world, event.id)}")


def _die_applying(world: World, cell: Cell, refund: Refund) -> None:
    """The worker that applies the webhook is killed."""
    world.broker.flush()
    _work(world, _send(refund), "after-response")
    for event in world.processors.books(world.name).events:
        world.tell(f"webhook {event.type}: {deliver(world, event.id)}")
    for message in world.broker.take_all():
        _work(world, message, cell.failpoint)


def _die_comparing(world: World, cell: Cell, refund: Refund) -> None:
    """A refund is made by hand as well, and the comparison that finds both is killed."""
    _die_on_the_way(world, cell, refund)
    if cell.call == "refund":
        payment_id = world.payments[0]
        world.processors.post("refunds", payment_id=payment_id, amount_minor=1_000)
    sweep(world)
    _work(world, ("refunds.tasks.reconcile_all_accounts", [], {}), cell.failpoint)


_PLAYS: dict[str, Callable[[World, Cell, Refund], None]] = {
    "in-outbox-drain": _die_handing_out,
    "in-sweep": _die_sweeping,
    "in-webhook-store": _die_taking_in,
    "in-webhook-apply": _die_applying,
    "in-reconcile-page": _die_comparing,
}
