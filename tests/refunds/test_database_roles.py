"""The role of web and workers: it refunds, and cannot rewrite what the audit trail says."""

from __future__ import annotations

import os
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg2.errors import InsufficientPrivilege

from audit.chains import first_break
from audit.kinds import Kind
from audit.log import record
from audit.models import AuditEntry
from refunds.history import CHAINS
from refunds.models import Refund
from refunds.states import Status
from tests.scripts import run_script

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "only-for-this-test"


@pytest.fixture
def role():
    """A role that may sign in and nothing else, as a database's owner makes it."""
    name = f"app_of_{connection.settings_dict['NAME']}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def address_as(role: str) -> str:
    address = urlsplit(os.environ["DATABASE_URL"])
    place = f"{role}:{PASSWORD}@{address.hostname}:{address.port}"
    return urlunsplit(address._replace(netloc=place, path=f"/{connection.settings_dict['NAME']}"))


@pytest.fixture
def app(role):
    """The address under which web and workers connect."""
    call_command("database_roles", role)
    return address_as(role)


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_refund_is_asked_for_and_sent_as_that_role(desk, agent, app):
    payment = desk.pay()
    script = f"""
from audit.kinds import Kind
from audit.log import record
from django.contrib.auth.models import User
from gateways.money import Money
from refunds.execution import send_refund
from refunds.models import AuditLine, RefundReason
from refunds.services import request_refund
from transactions.models import Transaction
person = User.objects.get(pk={agent.pk})
refund, _created = request_refund(
    transaction=Transaction.objects.get(pk={payment.pk}), amount=Money(4_000, "USD"),
    reason=RefundReason.objects.get(code="other"), note="", requested_by=person,
    idempotency_key="k",
)
send_refund(refund.pk)
record(Kind.EXPORTED, actor=person)
print(AuditLine.objects.count())
"""
    assert int(run_script(script, DATABASE_URL=app)) >= 3
    assert Refund.objects.get().status == Status.SUCCEEDED
    assert desk.given_back(payment) == [4_000]
    assert AuditEntry.objects.get().actor == agent
    assert not any(map(first_break, CHAINS))


@pytest.mark.parametrize(
    "sql",
    [
        *(
            sql.format(table=table)
            for table in ("audit_auditentry", "refunds_refundevent", "refunds_approvalrule")
            for sql in (
                "UPDATE {table} SET id = id",
                "DELETE FROM {table}",
                "TRUNCATE {table}",
                "ALTER TABLE {table} DISABLE TRIGGER ALL",
                "CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION refuse_change()",
                "DROP TABLE {table}",
            )
        ),
        "DELETE FROM refunds_refund",
        "TRUNCATE refunds_refund CASCADE",
        "DELETE FROM refunds_refundattempt",
        "TRUNCATE auth_user CASCADE",
        "UPDATE django_migrations SET name = ''",
        "ALTER FUNCTION audit_digest RENAME TO another",
        "DROP FUNCTION refuse_change()",
        "CREATE TABLE t ()",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_what_would_rewrite_the_log_is_refused(app, sql):
    sql = sql.replace("SET id = id", "SET hash = ''")
    if "approvalrule" in sql:
        sql = sql.replace("SET hash = ''", "SET currency = ''")
    with closing(psycopg2.connect(app)) as ours, ours.cursor() as cursor:
        with pytest.raises(InsufficientPrivilege):
            cursor.execute(sql)
        assert ours.rollback() is None


def test_it_may_be_said_again(role, app):
    call_command("database_roles", role)
    record(Kind.SIGNED_IN, actor=None)
    with closing(psycopg2.connect(app)) as ours, ours.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_auditentry")
        assert cursor.fetchone() == (1,)


def test_a_role_that_could_give_itself_more_is_refused(role):
    owner = connection.settings_dict["USER"]
    with pytest.raises(CommandError, match=f"{owner} is a superuser"):
        call_command("database_roles", owner)
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT {owner} TO {role}")
    with pytest.raises(CommandError, match="is the owner, or a member of it"):
        call_command("database_roles", role)


def test_a_role_that_is_not_there_is_told():
    with pytest.raises(CommandError, match="There is no role nobody-here"):
        call_command("database_roles", "nobody-here")
