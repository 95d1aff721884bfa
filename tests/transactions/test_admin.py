"""The transactions table, a transaction's page with its notes, and a customer's page."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_transaction
from transactions.models import Customer, Note, Transaction

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"


def page_of(transaction):
    return f"{LIST}{transaction.pk}/change/"


@pytest.fixture
def browser():
    return client_of(make_person("agent"))


@pytest.fixture
def found(browser):
    def found(text):
        response = browser.get(LIST, {"q": text})
        return [row.transaction.external_id for row in response.context["cl"].rows]

    return found


class TestTable:
    def test_a_row_tells_who_paid_what_and_how(self, browser):
        make_transaction(
            make_account("paypal-eu", "paypal"),
            customer_name="Ana Popescu",
            customer_email="ana@example.com",
            amount_minor=1_234_567,
            currency="EUR",
            brand="mastercard",
            last4="4444",
            wallet="apple_pay",
            method_type="card",
            order_reference="SO-7",
        )
        text = visible(browser.get(LIST))
        for expected in (
            "Ana Popescu", "ana@example.com", "PayPal", "paypal-eu", "Mastercard •••• 4444",
            "Apple Pay", "SO-7", "12345.67 EUR", "Not refunded", "Settled",
        ):  # fmt: skip
            assert expected in text

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"disputed": True}, "Disputed"),
            ({"status": "captured"}, "Captured"),
            ({"currency": "JPY", "amount_minor": 1500}, "1500 JPY"),
            ({"currency": "KWD", "amount_minor": 1500}, "1.500 KWD"),
            ({"method_type": "bank", "last4": "6789"}, "Bank account •••• 6789"),
            ({"method_type": "wallet", "wallet": "paypal"}, "PayPal"),
            ({"method_type": "other"}, "Other"),
        ],
    )
    def test_cases_of_it(self, browser, fields, words):
        make_transaction(**fields)
        assert words in visible(browser.get(LIST))

    @pytest.mark.parametrize(
        "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>']
    )
    def test_what_customers_wrote_is_text(self, browser, text):
        transaction = make_transaction(
            customer_name=text, customer_email=text, order_reference=text, description=text,
            customer=Customer.objects.create(email="x@example.com", name=text),
        )  # fmt: skip
        for address in (
            LIST,
            page_of(transaction),
            f"{LIST}{transaction.pk}/refund/",
            f"/admin/transactions/customer/{transaction.customer_id}/change/",
        ):
            html = browser.get(address).content.decode()
            assert "<script>alert" not in html
            assert "<img src=x" not in html
            assert "&lt;" in html

    def test_it_says_what_to_do_when_it_is_empty(self, browser):
        assert "No transactions yet" in visible(browser.get(LIST))
        make_transaction()
        assert "Nothing matches" in visible(browser.get(LIST, {"q": "no such"}))

    def test_htmx_gets_the_results_alone(self, browser):
        make_transaction()
        html = browser.get(LIST, headers={"HX-Request": "true", "HX-Target": "results"})
        assert html.content.decode().strip().startswith('<section id="results"')

    def test_a_row_alone(self, browser):
        transaction = make_transaction()
        html = browser.get(f"{page_of(transaction)}?fragment=row").content.decode().strip()
        assert html.startswith(f'<tr id="transaction-{transaction.pk}"')
        assert html.count("<tr") == 1


class TestSearch:
    @pytest.mark.parametrize(
        "text",
        [
            *("ch_3Nx", "CH_3nx", "pi_77", "kowal", "МАРИЯ", "мария", "ŻÓŁĆ", "example.com"),
            *("so-19", "4242", "kowal 4242", "  4242 "),
        ],
    )
    def test_any_part_of_what_is_known(self, found, text):
        make_transaction(
            external_id="ch_3NxAbc",
            related_ids="pi_77Xyz",
            customer_name="Jan Kowalski Мария Żółć",
            customer_email="jan@example.com",
            order_reference="SO-1999",
            last4="4242",
        )
        make_transaction(external_id="other")
        assert found(text) == ["ch_3NxAbc"]

    @pytest.mark.parametrize("text", ["%", "_", "\\", "'", "ch%3", "1 OR 1=1", "x" * 500])
    def test_marks_of_the_database_are_letters(self, found, text):
        make_transaction(external_id="ch_3")
        assert found(text) == (["ch_3"] if text == "_" else [])

    def test_a_zero_byte_is_refused_with_a_sentence(self, browser):
        response = browser.get(LIST, {"q": "a\x00b"})
        assert "Null characters are not allowed." in visible(response)


class TestReadOnly:
    @pytest.fixture
    def root(self):
        return client_of(User.objects.create_superuser("root"))

    @pytest.mark.parametrize(
        "model", ["transactions/transaction", "transactions/customer", "refunds/refund"]
    )
    def test_nobody_adds_changes_or_deletes(self, root, model):
        transaction = make_transaction()
        assert root.get(f"/admin/{model}/add/").status_code == 403
        assert root.post(f"/admin/{model}/add/", {"amount_minor": 1}).status_code == 403
        assert root.post(f"/admin/{model}/", {"action": "delete_selected"}).status_code == 403
        if "transaction/" in f"{model}/":
            for verb in ("change", "delete"):
                address = f"/admin/{model}/{transaction.pk}/{verb}/"
                assert root.post(address, {"amount_minor": 1}).status_code == 403
        assert Transaction.objects.get().amount_minor == 10_000

    def test_there_are_no_bulk_actions(self, root):
        for model in (Transaction, Customer):
            assert admin.site.get_model_admin(model).actions is None

    def test_who_may_not_view_is_refused(self):
        transaction = make_transaction()
        stranger = client_of(User.objects.create_user("stranger", is_staff=True))
        for address in (LIST, page_of(transaction), f"{LIST}{transaction.pk}/refund/"):
            assert stranger.get(address).status_code == 403

    def test_who_is_not_signed_in_is_sent_to_the_login(self):
        response = Client().get(LIST)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")

    @pytest.mark.parametrize("number", ["0", "99999999", "abc", "9" * 40, "%00", "1;drop"])
    def test_a_number_that_is_none_is_not_found(self, browser, number):
        assert browser.get(f"{LIST}{number}/change/").status_code == 404


class TestPage:
    def test_it_has_every_fact(self, browser):
        customer = Customer.objects.create(email="ana@example.com", name="Ana Popescu")
        transaction = make_transaction(
            external_id="ch_1",
            related_ids="pi_1 cs_2",
            customer=customer,
            customer_name="Ana Popescu",
            customer_email="ana@example.com",
            description="Annual plan",
        )
        html = browser.get(page_of(transaction)).content.decode()
        for expected in ("ch_1", "pi_1", "cs_2", "Annual plan", "is a test account"):
            assert expected in html
        assert f'data-copy="{transaction.external_id}"' in html
        assert f"/admin/transactions/customer/{customer.pk}/change/" in html

    def test_it_updates_itself_only_while_something_moves(self, browser):
        assert "load delay" not in browser.get(page_of(make_transaction())).content.decode()

    def test_the_part_that_updates_itself(self, browser):
        html = browser.get(f"{page_of(make_transaction())}?fragment=story").content.decode().strip()
        assert html.startswith('<section id="story"')


class TestNotes:
    @pytest.fixture
    def transaction(self):
        return make_transaction()

    def address(self, transaction):
        return f"{LIST}{transaction.pk}/note/"

    def test_one_is_added_with_its_author(self, transaction):
        person = make_person("agent", first_name="Ana", last_name="Lup")
        client = client_of(person)
        response = client.post(self.address(transaction), {"text": "Called back.\nAll fine."})
        assert response["Location"] == page_of(transaction)
        note = Note.objects.get()
        assert (note.text, note.author) == ("Called back.\nAll fine.", person)
        text = visible(client.get(page_of(transaction)))
        assert "Called back." in text
        assert "Ana Lup" in text

    def test_htmx_gets_the_notes_back(self, browser, transaction):
        response = browser.post(
            self.address(transaction), {"text": "Hello"}, headers={"HX-Request": "true"}
        )
        assert "Hello" in visible(response)
        assert response.content.decode().strip().startswith('<section id="notes"')

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "Write something first."),
            ("  \n ", "Write something first."),
            ("card 4242 4242 4242 4242", "This looks like a card number."),
            ("4242-4242-4242-4242", "This looks like a card number."),
            ("x" * 5001, "at most 5000 characters"),
            ("a\x00b", "Null characters are not allowed."),
        ],
    )
    def test_what_is_refused_stays_in_the_box(self, browser, transaction, text, sentence):
        response = browser.post(
            self.address(transaction), {"text": text}, headers={"HX-Request": "true"}
        )
        assert sentence in visible(response)
        assert response.context["note_form"]["text"].value() == text
        assert not Note.objects.exists()
        plain = browser.post(self.address(transaction), {"text": text}, follow=True)
        assert sentence in visible(plain)

    def test_markup_is_text(self, browser, transaction):
        browser.post(self.address(transaction), {"text": "<b>bold</b> {{ 7|add:7 }}"})
        html = browser.get(page_of(transaction)).content.decode()
        assert "&lt;b&gt;bold&lt;/b&gt; {{ 7|add:7 }}" in html

    def test_who_may_not_has_no_box_and_is_refused(self, transaction):
        viewer = client_of(make_person("viewer"))
        assert "Add note" not in visible(viewer.get(page_of(transaction)))
        assert viewer.post(self.address(transaction), {"text": "Hello"}).status_code == 403
        assert not Note.objects.exists()

    def test_only_by_post(self, browser, transaction):
        assert browser.get(self.address(transaction))["Location"] == page_of(transaction)
        assert not Note.objects.exists()

    def test_a_foreign_site_cannot_post(self, transaction):
        client = client_of(make_person("agent"), enforce_csrf_checks=True)
        assert client.post(self.address(transaction), {"text": "Hello"}).status_code == 403


class TestCustomer:
    def test_their_page_has_what_they_paid(self, browser):
        customer = Customer.objects.create(email="ana@example.com", name="Ana Popescu")
        for minor, currency in ((1000, "USD"), (2500, "USD"), (700, "EUR")):
            make_transaction(customer=customer, amount_minor=minor, currency=currency)
        make_transaction(customer=customer, status="failed")
        make_transaction(customer_name="Somebody Else")
        response = browser.get(f"/admin/transactions/customer/{customer.pk}/change/")
        assert len(response.context["rows"]) == 4
        text = visible(response)
        assert "35.00 USD" in text
        assert "7.00 EUR" in text
        assert "Somebody Else" not in text

    def test_more_than_a_page_leads_to_the_table(self, browser):
        customer = Customer.objects.create(email="ana@example.com")
        account = make_account()
        for _ in range(51):
            make_transaction(account, customer=customer)
        make_transaction(account)
        response = browser.get(f"/admin/transactions/customer/{customer.pk}/change/")
        assert len(response.context["rows"]) == 50
        every = browser.get(response.context["every_url"])
        assert len(every.context["cl"].rows) == 50
        rest = browser.get(LIST + every.context["cl"].older_url)
        assert len(rest.context["cl"].rows) == 1
