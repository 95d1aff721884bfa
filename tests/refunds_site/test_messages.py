"""The staff site in five languages: every message is translated, and every page can be read."""

import subprocess
import sys

import pytest
from django.conf import settings
from django.utils.translation import gettext, override

from access.models import Profile
from tests.pages import client_of, visible
from tests.refunds.states import bring
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction
from transactions.models import Customer, Note

LANGUAGES = [code for code, _name in settings.LANGUAGES]


def test_no_message_lacks_a_translation_or_is_fuzzy():
    check = [sys.executable, ".ci/messages.py", "check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd=settings.BASE_DIR)
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_can_be_read(language):
    person = make_person("admin")
    Profile.objects.create(user=person, language=language)
    customer = Customer.objects.create(email="maria@example.com", name="Maria Santos")
    payment = make_transaction(make_account("shop"), customer=customer, customer_name="Maria")
    refund = bring(make_refund(payment, 2500, person), "unknown")
    case = make_case(refund, "unknown_outcome", "It is not known.")
    Note.objects.create(transaction=payment, author=person, text="Called.")
    failed = bring(make_refund(payment, 100, person), "failed", failure_code="too_old")
    browser = client_of(person)
    for address in (
        "/admin/",
        "/admin/me/",
        "/admin/transactions/transaction/",
        "/admin/transactions/transaction/?q=nothing+like+it",
        f"/admin/transactions/transaction/{payment.pk}/change/",
        f"/admin/transactions/transaction/{payment.pk}/refund/",
        "/admin/transactions/customer/",
        f"/admin/transactions/customer/{customer.pk}/change/",
        "/admin/refunds/refund/",
        f"/admin/refunds/refund/{failed.pk}/change/",
        "/admin/refunds/attention/",
        f"/admin/refunds/attention/{case.pk}/change/",
        "/admin/refunds/webhookevent/",
        "/admin/refunds/refundreason/",
        "/admin/campaigns/campaign/",
        "/admin/campaigns/campaign/new/",
        "/admin/gateways/processoraccount/",
        "/admin/auth/user/",
    ):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert f'<html lang="{language}"' in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ro", ("Tranzacții", "Rambursări", "Clienți")),
        ("ru", ("Транзакции", "Возвраты", "Клиенты")),
        ("pl", ("Transakcje", "Zwroty", "Klienci")),
        ("ms", ("Transaksi", "Bayaran balik", "Pelanggan")),
    ],
)
def test_the_words_are_those_of_the_glossary(language, words):
    person = make_person("agent")
    Profile.objects.create(user=person, language=language)
    text = visible(client_of(person).get("/admin/transactions/transaction/"))
    for word in words:
        assert word in text


@pytest.mark.django_db
def test_what_was_kept_in_english_is_told_in_the_readers_language():
    person = make_person("agent")
    Profile.objects.create(user=person, language="ru")
    refund = bring(make_refund(make_transaction(), 2500, person), "unknown")
    sentence = "It is not known whether the processor made this refund."
    make_case(refund, "unknown_outcome", sentence)
    page = f"/admin/transactions/transaction/{refund.transaction_id}/change/"
    text = visible(client_of(person).get(page))
    assert sentence not in text
    with override("ru"):
        assert gettext("It is refunded now through %s.") % "Stripe" in text
