"""The payment's own moments, and the notes on it, in one story."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User

from gateways.money import Money
from tests.pages import client_of, visible
from tests.rest import make_person, make_transaction
from transactions.models import Note
from transactions.timeline import Line, newest_first, payment_lines

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"


def told(payment):
    return [(line.at, line.text) for line in payment_lines(payment, [], [])]


def test_its_moments_are_told_as_far_as_they_are_known():
    payment = make_transaction()
    day = timedelta(days=1)
    assert told(payment) == [(payment.created_at, "Paid")]
    payment.settled_at = payment.created_at + day
    payment.disputed_at = payment.created_at + 2 * day
    payment.voided_at = payment.created_at + 3 * day
    assert [text for _at, text in told(payment)] == [
        "Paid", "Settled", "The customer disputes the payment", "Voided",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "text"),
    [("authorized", "Authorized"), ("failed", "The payment failed"), ("captured", "Paid")],
)
def test_how_it_began(status, text):
    [line] = payment_lines(make_transaction(status=status), [], [])
    assert (line.text, line.actor, line.amount) == (text, "Stripe", Money(10_000, "USD"))


def test_notes_stand_in_it_and_long_ones_are_cut():
    payment, author = make_transaction(), make_person("agent", first_name="Ana", last_name="Lup")
    Note.objects.create(transaction=payment, author=author, text="Called. " + "x" * 400)
    *_, line = payment_lines(payment, payment.notes.all(), [])
    assert (line.text, line.actor) == ("Note", "Ana Lup")
    assert line.why == "Called. " + "x" * 292 + "…"


def test_what_came_last_of_one_moment_stands_first():
    at = make_transaction().created_at
    first, second = Line(at, "first"), Line(at, "second")
    later = Line(at + timedelta(seconds=1), "later")
    assert newest_first([later, first, second]) == [later, second, first]


def test_who_may_not_see_notes_does_not_read_them_in_the_story():
    payment, author = make_transaction(), make_person("agent")
    someone = User.objects.create_user("someone", is_staff=True)
    someone.user_permissions.add(Permission.objects.get(codename="view_transaction"))
    Note.objects.create(transaction=payment, author=author, text="Between us.")
    page = f"{LIST}{payment.pk}/change/"
    assert "Between us." in visible(client_of(author).get(page))
    assert "Between us." not in visible(client_of(someone).get(page))


def test_a_note_has_the_story_told_anew():
    payment, author = make_transaction(), make_person("agent")
    browser = client_of(author)
    htmx = {"HX-Request": "true"}
    answer = browser.post(f"{LIST}{payment.pk}/note/", {"text": "Called."}, headers=htmx)
    assert f'"transaction": {payment.pk}' in answer["HX-Trigger"]
    refused = browser.post(f"{LIST}{payment.pk}/note/", {"text": " "}, headers=htmx)
    assert "HX-Trigger" not in refused
    story = browser.get(f"{LIST}{payment.pk}/change/?fragment=story", headers=htmx)
    assert "Called." in visible(story)
