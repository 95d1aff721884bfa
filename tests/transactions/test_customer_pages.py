"""Customers on the staff site: the table, the page, marking and merging."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format

from access.models import AccountRole
from tests.pages import client_of, explain_list, visible
from tests.refunds.states import bring
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction
from transactions.customer_pages import CustomerAdmin
from transactions.models import Customer, Note

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/customer/"
TABLE = "/admin/transactions/transaction/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager():
    return make_person("manager")


@pytest.fixture
def browser(manager):
    return client_of(manager)


@pytest.fixture
def ana():
    return Customer.objects.create(email="ana@example.com", name="Ana Popescu")


@pytest.fixture
def other():
    return Customer.objects.create(email="a.popescu@example.com", name="Ana Popescu", is_vip=True)


def page_of(customer):
    return f"{LIST}{customer.pk}/change/"


class TestTable:
    def names(self, browser, query=""):
        return [row.customer.email for row in browser.get(LIST + query).context["cl"].rows]

    def test_newest_first_without_those_who_were_merged(self, browser, ana, other):
        assert self.names(browser) == [other.email, ana.email]
        other.merged_into = ana
        other.save()
        assert self.names(browser) == [ana.email]

    def test_found_by_name_or_address_and_filtered(self, browser, ana, other):
        Customer.objects.create(email="jan@example.com", name="Jan Kowalski")
        assert self.names(browser, "?q=POPESCU") == [other.email, ana.email]
        assert self.names(browser, "?q=jan+kow") == ["jan@example.com"]
        assert self.names(browser, "?is_vip=true") == [other.email]
        assert "Nothing matches" in visible(browser.get(f"{LIST}?q=nobody"))

    def test_how_often_they_paid(self, browser, ana):
        for _ in range(3):
            make_transaction(customer=ana)
        [row] = browser.get(LIST).context["cl"].rows
        assert (row.payments, row.newest) == (3, ana.transactions.latest("created_at").created_at)

    def test_it_costs_as_much_for_many_as_for_one(self, browser, ana):
        def queries():
            with CaptureQueriesContext(connection) as captured:
                assert browser.get(LIST).status_code == 200
            return len(captured)

        queries()
        few = queries()
        for number in range(60):
            Customer.objects.create(email=f"c{number}@example.com")
        assert queries() == few

    def test_it_walks_an_index(self, browser):
        Customer.objects.bulk_create(
            Customer(email=f"c{number}@example.com", name="x" * 200) for number in range(5000)
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT gin_clean_pending_list('customer_search')")
            cursor.execute("ANALYZE transactions_customer")
        for query, index in (("", "customer_newest"), ("?q=needle", "customer_search")):
            assert index in explain_list(browser, LIST + query, "transactions_customer")

    def test_who_may_not_see_customers_is_refused(self, ana):
        from django.contrib.auth.models import User

        someone = User.objects.create_user("someone", is_staff=True)
        assert client_of(someone).get(LIST).status_code == 403
        assert client_of(someone).get(page_of(ana)).status_code == 403


class TestPage:
    def test_everything_of_them_in_one_place(self, browser, manager, ana):
        payment = make_transaction(customer=ana)
        refund = bring(make_refund(payment, 2500, manager), "unknown")
        make_case(refund, "unknown_outcome", "Nobody knows what became of it.")
        Note.objects.create(transaction=payment, author=manager, text="Called on Friday.")
        make_transaction(customer_name="Somebody Else")
        text = visible(browser.get(page_of(ana)))
        for told in ("Ana Popescu", "One payment 100.00 USD", "Nobody knows what", "25.00 USD",
                     "Called on Friday."):  # fmt: skip
            assert told in text
        assert "Somebody Else" not in text

    def test_refunds_cases_and_notes_only_for_who_may_see_them(self, manager, ana):
        from django.contrib.auth.models import Permission, User

        payment = make_transaction(customer=ana)
        make_case(make_refund(payment, 2500, manager), "stuck", "It is stuck.")
        Note.objects.create(transaction=payment, author=manager, text="Called on Friday.")
        someone = User.objects.create_user("someone", is_staff=True)
        rights = Permission.objects.filter(codename__in=["view_customer", "view_transaction"])
        someone.user_permissions.set(rights)
        text = visible(client_of(someone).get(page_of(ana)))
        assert "100.00 USD" in text
        assert "It is stuck." not in text
        assert "Called on Friday." not in text
        assert "25.00 USD" not in text

    @pytest.mark.parametrize("at_once", [50, 1])
    def test_they_are_known_since_the_oldest_payment_that_the_person_sees(
        self, ana, monkeypatch, at_once
    ):
        monkeypatch.setattr(CustomerAdmin, "list_per_page", at_once)
        ours, september = make_account(), datetime(2025, 9, 3, 12, tzinfo=UTC)
        agent = make_person("agent")
        AccountRole.objects.create(user=agent, role=agent.groups.get(), account=ours)
        agent.groups.clear()
        make_transaction(ours, customer=ana)
        make_transaction(ours, customer=ana, created_at=september, status="failed")
        make_transaction(customer=ana, created_at=september - timedelta(days=90))
        assert "known since 3 Sep 2025" in visible(client_of(agent).get(page_of(ana)))
        Customer.objects.update(created_at=september - timedelta(days=2))
        assert "known since 1 Sep 2025" in visible(client_of(agent).get(page_of(ana)))

    def test_who_has_not_paid_is_known_since_they_were_kept(self, browser, ana):
        day = date_format(timezone.localtime(ana.created_at), "j M Y")
        assert f"known since {day}" in visible(browser.get(page_of(ana)))

    def test_who_was_merged_leads_to_whom(self, browser, ana, other):
        other.merged_into = ana
        other.save()
        assert browser.get(page_of(other))["Location"] == page_of(ana)

    @pytest.mark.parametrize("key", ["0", "x", "9" * 30])
    def test_one_that_is_none_is_not_found(self, browser, key):
        assert browser.get(f"{LIST}{key}/change/").status_code in {302, 404}

    def test_a_payments_page_tells_of_them(self, browser, ana):
        ana.is_vip = True
        ana.locale = "ro"
        ana.save()
        first = make_transaction(customer=ana)
        make_transaction(customer=ana)
        text = visible(browser.get(f"{TABLE}{first.pk}/change/"))
        assert "ana@example.com · ro" in text
        assert "2 payments 200.00 USD" in text
        assert "VIP" in visible(browser.get(TABLE))


class TestEdit:
    def test_vip_and_language_are_kept_and_logged(self, browser, manager, ana):
        address = f"{LIST}{ana.pk}/edit/"
        answer = browser.post(address, {"is_vip": "on", "locale": "pl"}, follow=True)
        assert "Kept: VIP yes, language pl." in visible(answer)
        ana.refresh_from_db()
        assert (ana.is_vip, ana.locale) == (True, "pl")
        assert LogEntry.objects.get().user == manager
        browser.post(address, {"is_vip": "on", "locale": "pl"})
        assert LogEntry.objects.count() == 1

    def test_a_language_that_is_none_is_refused(self, browser, ana):
        answer = browser.post(f"{LIST}{ana.pk}/edit/", {"locale": "<b>"}, follow=True)
        assert "Choose one of the languages." in visible(answer)
        ana.refresh_from_db()
        assert ana.locale == ""

    def test_who_may_not_is_refused(self, ana):
        viewer = client_of(make_person("viewer"))
        assert viewer.post(f"{LIST}{ana.pk}/edit/", {"is_vip": "on"}).status_code == 403
        assert "customer-form" not in viewer.get(page_of(ana)).content.decode()


class TestRisky:
    def test_marked_seen_found_and_taken_back(self, browser, ana, other):
        address = f"{LIST}{ana.pk}/mark/"
        answer = browser.post(address, {"risky": "on"}, follow=True)
        text = visible(answer)
        assert "Another person approves every refund to this customer" in text
        assert "No longer risky" in text
        payment = make_transaction(customer=ana)
        assert "Risky" in visible(browser.get(f"{TABLE}{payment.pk}/change/"))
        assert "ana@example.com" in visible(browser.get(f"{LIST}?is_risky=true"))
        assert other.email not in visible(browser.get(f"{LIST}?is_risky=true"))
        text = visible(browser.post(address, {}, follow=True))
        assert "What you ask for yourself still needs another person." in text
        assert "Mark as risky" in text

    def test_only_managers_do_it_and_only_by_a_button(self, browser, ana):
        agent = client_of(make_person("agent"))
        assert agent.post(f"{LIST}{ana.pk}/mark/", {"risky": "on"}).status_code == 403
        assert "Mark as risky" not in visible(agent.get(page_of(ana)))
        assert browser.get(f"{LIST}{ana.pk}/mark/").status_code in {302, 405}
        ana.refresh_from_db()
        assert not ana.is_risky


class TestMerge:
    def test_by_the_other_address_in_a_dialog(self, browser, ana, other):
        address = f"{LIST}{ana.pk}/merge/"
        dialog = visible(browser.get(address, headers=HTMX))
        assert "Of the same name: a.popescu@example.com" in dialog
        answer = browser.post(address, {"email": " A.Popescu@example.com "}, headers=HTMX)
        assert answer["HX-Redirect"] == page_of(ana)
        text = visible(browser.get(page_of(ana)))
        assert "a.popescu@example.com belongs to this customer now." in text
        assert "Also a.popescu@example.com Part them" in text

    def test_and_parted_again(self, browser, ana, other):
        browser.post(f"{LIST}{ana.pk}/merge/", {"email": other.email})
        answer = browser.post(f"{LIST}{ana.pk}/part/", {"other": other.pk}, follow=True)
        assert "is a customer of their own again." in visible(answer)
        other.refresh_from_db()
        assert other.merged_into is None

    @pytest.mark.parametrize(
        ("email", "why"),
        [
            ("", "Enter the other e-mail."),
            ("nobody@example.com", "No customer has the e-mail nobody@example.com."),
            ("ana@example.com", "That is this customer."),
            ("x" * 400, "at most 320 characters"),
            ("\x00", "Null characters are not allowed."),
            ("\u202e", "No customer has the e-mail ."),
        ],
    )
    def test_what_is_refused(self, browser, ana, email, why):
        answer = browser.post(f"{LIST}{ana.pk}/merge/", {"email": email}, headers=HTMX)
        assert answer.status_code == 200
        assert why in visible(answer)

    @pytest.mark.parametrize("key", ["", "x", "0", "٣", "9" * 40, "9" * 5_000])
    def test_parting_nobody_is_not_found(self, browser, ana, key):
        assert browser.post(f"{LIST}{ana.pk}/part/", {"other": key}).status_code == 404

    def test_only_managers_do_it(self, ana, other):
        agent = client_of(make_person("agent"))
        for step, values in (("merge", {"email": other.email}), ("part", {"other": other.pk})):
            assert agent.post(f"{LIST}{ana.pk}/{step}/", values).status_code == 403
        assert agent.get(f"{LIST}{ana.pk}/merge/").status_code == 403
        assert "/merge/" not in agent.get(page_of(ana)).content.decode()


def test_a_page_reads_a_fixed_number_of_times(browser, manager, ana):
    def queries():
        browser.get(page_of(ana))
        with CaptureQueriesContext(connection) as captured:
            browser.get(page_of(ana))
        return len(captured)

    account = make_account()
    make_refund(make_transaction(account, customer=ana), 100, manager)
    one = queries()
    for _ in range(5):
        make_refund(make_transaction(account, customer=ana), 100, manager)
    assert queries() == one
