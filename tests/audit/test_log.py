"""What an entry holds, and that it is written with the change or not at all."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test import RequestFactory

from audit.context import from_request
from audit.kinds import Kind
from audit.log import changes, record
from audit.models import AuditEntry
from tests.refunds.raw import rolled_back

pytestmark = pytest.mark.django_db


def test_an_entry_says_who_what_about_whom_and_from_where(person):
    other = User.objects.create_user("tom")
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.7")
    with from_request(request, "f" * 32):
        record(Kind.PERSON_CHANGED, actor=person, account_id=7, about=other, data={"n": [1, 2]})
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.actor, entry.actor_name) == ("person.changed", person, "mihaela")
    assert (entry.about_type, entry.about_id, entry.about_name) == (
        "auth.user",
        str(other.pk),
        "tom",
    )
    assert (entry.account_id, entry.address, entry.request_id) == (7, "203.0.113.7", "f" * 32)
    assert entry.data == {"n": [1, 2]}


@pytest.mark.parametrize("nobody", [None, AnonymousUser()])
def test_an_entry_outside_a_request_and_of_nobody(nobody):
    record(Kind.SIGN_IN_FAILED, actor=nobody, data={"username": "who"})
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_name, entry.address, entry.request_id) == (None, "", None, "")


@pytest.mark.parametrize("address", ["", "unix:", "10.0.0.1, 10.0.0.2", "1\r\n2"])
def test_an_address_that_is_none_is_left_out(address):
    with from_request(RequestFactory().get("/", REMOTE_ADDR=address), "a"):
        record(Kind.SIGNED_IN, actor=None)
    assert AuditEntry.objects.get().address is None


def test_the_origin_ends_with_its_request():
    with from_request(RequestFactory().get("/"), "a"):
        pass
    record(Kind.SIGNED_IN, actor=None)
    assert AuditEntry.objects.get().request_id == ""


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("a\r\nsequence 2", r"a\r\nsequence 2"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x00", r"\x00"),
        ("\ud800", r"\ud800"),
        ("\u202edlog", r"\u202edlog"),
        ("Łukasz | Ωmega", "Łukasz | Ωmega"),
    ],
)
def test_control_characters_are_kept_as_escapes(typed, kept):
    record(Kind.REFUSED, actor=User(pk=None), about_name=typed, data={typed: [typed]})
    entry = AuditEntry.objects.get()
    assert entry.about_name == kept
    assert entry.data == {kept: [kept]}


def test_long_texts_and_lists_are_cut():
    record(
        Kind.REFUSED, actor=None, about_name="\n" * 900, data={"a": "x" * 900, "b": [*range(900)]}
    )
    entry = AuditEntry.objects.get()
    assert len(entry.about_name) == 200
    assert entry.about_name.endswith("…")
    assert len(entry.data["a"]) == 500
    assert entry.data["b"][-1] == "… 800 more"
    record(Kind.REFUSED, actor=None, data={str(n): "x" * 500 for n in range(100)})
    assert len(str(AuditEntry.objects.get(sequence=2).data)) < 5_000


def test_what_json_has_no_value_for_becomes_text():
    record(Kind.REFUSED, actor=None, data={"e": ValidationError, "f": 1.5, "s": {"b", "a"}})
    assert AuditEntry.objects.get().data["f"] == "1.5"
    assert AuditEntry.objects.get().data["s"] == ["a", "b"]


def test_changes_are_pairs_of_old_and_new():
    assert changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {
        "changed": {"b": [2, 3], "c": [None, 4]}
    }
    assert changes({"a": 1}, {"a": 1}) == {}


def test_what_is_rolled_back_leaves_no_entry_and_no_gap():
    record(Kind.SIGNED_IN, actor=None)
    with rolled_back():
        record(Kind.SIGNED_OUT, actor=None)
    record(Kind.SIGNED_OUT, actor=None)
    assert [entry.sequence for entry in AuditEntry.objects.all()] == [1, 2]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditentry SET kind = 'x'",
        "UPDATE audit_auditentry SET hash = repeat('f', 64)",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
        "TRUNCATE auth_user CASCADE",
    ],
)
def test_the_database_refuses_changes(sql):
    record(Kind.SIGNED_IN, actor=None)
    with (
        pytest.raises(IntegrityError, match="never changed or removed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # what waits for the commit keeps TRUNCATE off
        cursor.execute(sql)


def test_the_database_numbers_and_stamps_whoever_inserts():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (sequence, at, kind, actor_name, about_type, about_id,"
            " about_name, request_id, data, previous_hash, hash) VALUES"
            " (77, '2001-01-01', 'forged', '', '', '', '', '', '{}', 'a', 'b')"
        )
    entry = AuditEntry.objects.get()
    assert (entry.sequence, entry.previous_hash) == (1, "0" * 64)
    assert entry.at.year > 2001
    assert len(entry.hash) == 64


def test_who_is_in_the_log_cannot_be_deleted(person):
    record(Kind.SIGNED_IN, actor=person)
    with pytest.raises(ProtectedError):
        person.delete()
