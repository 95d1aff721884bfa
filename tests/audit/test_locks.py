"""The lock of both chains is the last one of a transaction: else two wait for each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.db import connection, connections
from django.db import transaction as database

from audit.kinds import Kind
from audit.log import record, take_turn
from refunds.models import Refund
from refunds.services import cancel_refund
from tests.rest import make_person, make_refund, make_transaction
from tests.waiting import wait_until
from transactions import saved_views
from transactions.models import SavedView

pytestmark = pytest.mark.django_db(transaction=True)


def both(*works) -> None:
    """At the same time, each with a connection of its own; raises what they raise."""

    def run(work) -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(run, work) for work in works]:
            done.result(20)


def somebody_waits() -> bool:
    """Whether another session of this database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees one moment only
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


def test_a_person_who_is_renamed_goes_on_working():
    """As the staff site does: the row is written, and then the log (access/admin.py)."""
    admin, person = make_person("admin"), make_person("agent")
    refund = make_refund(make_transaction(), 500, person)
    renamed = Event()

    def rename() -> None:
        with database.atomic():
            take_turn()
            person.username = "another"
            person.save()
            renamed.set()
            wait_until(somebody_waits)
            record(Kind.PERSON_CHANGED, actor=admin, about=person)

    def cancel() -> None:
        renamed.wait(5)
        cancel_refund(Refund.objects.get(pk=refund.pk), actor=person)

    both(rename, cancel)


def test_a_shared_view_is_changed_while_somebody_deletes_it(monkeypatch):
    owner, other = make_person("manager"), make_person("manager")
    view = saved_views.save(owner, "Late", "status=settled", is_shared=True)
    written, tell = Event(), saved_views._tell

    def tell_late(before, after) -> None:
        written.set()
        wait_until(somebody_waits)
        tell(before, after)

    monkeypatch.setattr(saved_views, "_tell", tell_late)

    def change() -> None:
        saved_views.save(owner, "Late", "status=failed", is_shared=True)

    def delete() -> None:
        written.wait(5)
        saved_views.delete(SavedView.objects.get(pk=view.pk), actor=other)

    both(change, delete)
