"""One small business for one run: an account at one processor, some payments, six people."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone

from access.roles import Role
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from refunds.models import RefundReason
from transactions.models import Stream, SyncState, Transaction
from transactions.upsert import store_payments

from .broker import Broker, Message
from .children import Child, Ending, StepFailed
from .processors import ACCOUNTS, Processors
from .rows import age_rows, empty_rows

# No worker lives longer with a task (CELERY_TASK_TIME_LIMIT): who stops for longer is killed.
LONGEST_LIFE = timedelta(seconds=60)


class World:
    """What steps act on. ``story`` says in words what happened; ``problems`` what never may."""

    def __init__(self, processors: Processors, broker: Broker) -> None:
        self.processors = processors
        self.broker = broker
        self.dialect = ""
        self.name = ""
        self.account = ProcessorAccount()
        self.payments: list[str] = []
        self.stopped: list[tuple[Child, timedelta]] = []  # and how long each has slept
        self.rejected = False
        self.lied = False  # it refused what it had made
        self.deaths = 0
        self.age = timedelta()
        self.story: list[str] = []
        self.problems: list[str] = []

    def begin(self, dialect: str) -> None:
        """Forget the run before, and open an account at a processor."""
        self.end()
        self.processors.reset()
        empty_rows()
        self.dialect, self.name = dialect, ACCOUNTS[dialect]
        self.payments, self.story, self.problems = [], [], []
        self.rejected, self.lied, self.deaths, self.age = False, False, 0, timedelta()
        # Midnight is half a day away, whatever time it is here: runs can be repeated.
        cutoff = (datetime.now(UTC).hour + 12) % 24
        self.processors.post("accounts", account=self.name, cutoff_hour=cutoff)
        self.account = ProcessorAccount(
            slug=self.name,
            processor=dialect,
            mode="test",
            base_url=f"{self.processors.url}/{dialect}",
            currency="USD",
        )
        self.account.set_credentials(self.processors.credentials(self.name))
        self.account.save()
        # The first sync of an account reads years, which is not what is shown here.
        SyncState.objects.bulk_create(
            SyncState(account=self.account, stream=stream, synced_until=timezone.now())
            for stream in Stream
        )

    def end(self) -> None:
        """Leave no process behind."""
        for child, _asleep in self.stopped:
            child.kill()
        self.stopped = []

    def pay(self, minor: int, **wish: Any) -> Transaction:
        """A payment at the processor and its mirror here."""
        made = self.processors.post("payments", account=self.name, amount_minor=minor, **wish)
        payment_id: str = made["payment"]["id"]
        payment = open_gateway(self.account).get_payment(payment_id)
        if payment is None or store_payments(self.account, [payment]).rejected:
            raise RuntimeError(f"The sandbox has no payment {payment_id} to read.")
        self.payments.append(payment_id)
        return Transaction.objects.get(account=self.account, external_id=payment_id)

    def behave(self, *, lookup_lag_seconds: int, **settings: Any) -> None:
        """Change how the processor behaves; what was paid so far is in its lists."""
        self.let_time_pass(timedelta(seconds=lookup_lag_seconds))
        wish = {**settings, "lookup_lag_seconds": lookup_lag_seconds}
        self.processors.post("accounts", account=self.name, **wish)

    def tell(self, sentence: str) -> None:
        self.story.append(sentence)

    def arm(self, **wish: Any) -> None:
        self.processors.post("faults", dialect=self.dialect, **wish)

    def let_time_pass(self, by: timedelta) -> None:
        """Make all moments older. A process that would be asleep for too long is killed."""
        awake = []
        for child, asleep in self.stopped:
            if asleep + by > LONGEST_LIFE:
                child.kill()
            else:
                awake.append((child, asleep + by))
        self.stopped = awake
        self.processors.age(by)
        age_rows(by)
        self.age += by

    def work(self, message: Message, failpoint: str = "", *, stop: bool = False) -> Ending:
        """Do what a message asks for; with a failpoint in a process that may not survive it."""
        if not failpoint:
            self.attempt(lambda: self.broker.run(message))
            return "done"
        try:
            child = Child(
                lambda: self.broker.run(message), failpoint, stop=stop, broker=self.broker
            )
        except StepFailed as error:
            self.problems.append(str(error))
            return "done"
        self.deaths += child.ending == "killed"
        if child.ending == "stopped":
            self.stopped.append((child, timedelta()))
        return child.ending

    def attempt(self, step: Any) -> Any:
        """Take a step that must not raise; what it returned, or None."""
        try:
            return step()
        except Exception:  # noqa: BLE001 - the oracle reports it
            self.problems.append(traceback.format_exc())
            return None

    def drain(self, most: int = 200) -> int:
        """Take messages until there are none; how many."""
        for done in range(most):
            message = self.broker.take()
            if message is None:
                return done
            self.work(message)
        self.problems.append(f"After {most} messages there are still more.")
        return most


@cache
def people() -> tuple[User, ...]:
    """Two who request, two who approve, two who may do both: they outlive every run."""
    roles = (Role.AGENT, Role.AGENT, Role.APPROVER, Role.APPROVER, Role.MANAGER, Role.MANAGER)
    hired = []
    for number, role in enumerate(roles):
        name = f"{role.value}-{number}"
        user, _created = User.objects.get_or_create(
            username=name, defaults={"email": f"{name}@example.com", "is_staff": True}
        )
        user.groups.set([Group.objects.get(name=role.value)])
        hired.append(user)
    return tuple(hired)


@cache
def reason() -> RefundReason:
    return RefundReason.objects.get(code="requested_by_customer")
