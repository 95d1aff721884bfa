"""The columns that a person has chosen, wherever a line of the table is drawn."""

import pytest
from django.contrib.auth.models import AnonymousUser

from access.models import Profile
from tests.pages import client_of, visible
from tests.rest import make_person, make_transaction
from transactions.columns import DEFAULT, Column, chosen_by

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def person():
    return make_person("viewer")


@pytest.fixture
def browser(person):
    return client_of(person)


def choose(browser, *names, query=""):
    return browser.post(f"{LIST}columns/?{query}", {"columns": names}, headers=HTMX)


def test_everybody_begins_with_the_usual_ones(person, browser):
    make_transaction(external_id="ch_long", description="Two lamps", order_reference="A-1")
    assert chosen_by(person) == DEFAULT
    assert chosen_by(AnonymousUser()) == DEFAULT
    page = visible(browser.get(LIST))
    assert "A-1" in page
    assert "Two lamps" not in page


def test_what_is_chosen_is_drawn_in_every_place(person, browser):
    transaction = make_transaction(description="Two lamps", order_reference="A-1")
    answer = choose(browser, "about", "id", query="q=ch&p=older.1.1&no=1")
    assert answer.headers["HX-Redirect"] == f"{LIST}?q=ch"
    assert Profile.objects.get(user=person).columns == ["about", "id"]
    for address in (LIST, f"{LIST}{transaction.pk}/change/?fragment=row"):
        html = browser.get(address).content.decode()
        assert "Two lamps" in html
        assert f"<code>{transaction.external_id}</code>" in html
        assert "A-1" not in html
    headings = browser.get(LIST).content.decode()
    assert "Description</th>" in headings
    assert "Order</th>" not in headings


def test_none_but_those_that_are_always_there(browser):
    make_transaction(customer_name="Ana")
    choose(browser)
    page = visible(browser.get(LIST))
    assert "Ana" in page
    assert "100.00 USD" in page
    assert "Not refunded" in page
    assert "Settled" not in page.split("Ana", 1)[1].split("Actions", 1)[0]


def test_the_form_shows_what_is_chosen(browser):
    choose(browser, "order")
    form = browser.get(f"{LIST}columns/", headers=HTMX).context["form"]
    assert form["columns"].value() == ["order"]
    assert "<html" in browser.get(f"{LIST}columns/").content.decode()


def test_a_column_that_is_none_is_refused(person, browser):
    assert "not one of the available choices" in visible(choose(browser, "password"))
    assert not Profile.objects.exists()


def test_names_that_are_no_more_are_passed_over(person):
    Profile.objects.create(user=person, columns=["order", "weather"])
    assert chosen_by(person) == {Column.ORDER}


def test_who_may_not_look_chooses_nothing():
    person = make_person("viewer")
    person.groups.clear()
    assert choose(client_of(person), "order").status_code == 403
