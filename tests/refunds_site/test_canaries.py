"""A desk full of canaries: what pages, the API, exports, commands, logs and the database show.

Credentials, a customer and a token go the whole way, with a worker's process and a refund that is
sent; nothing may be seen where it has no business.
"""

import logging
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from gateways.models import ProcessorAccount
from gateways.money import Money
from refunds.models import Refund, RefundReason
from refunds.services import request_refund
from refunds.states import Status
from tests.canaries import CREDENTIALS, EMAIL, NAME, NOTE, PERSON, Canaries
from tests.dump import holding
from tests.pages import client_of
from tests.refunds.desk import Desk
from tests.rest import client_with, make_person, make_token
from tests.waiting import wait_until
from transactions.models import Customer, Note

# Where a customer's name, address and what was said of them may stand.
OF_PEOPLE = {
    "refunds_refund.note", "refunds_refund.words", "refunds_refundattempt.exchanges",
    "transactions_customer.email", "transactions_customer.name",
    "transactions_customer.search_text", "transactions_note.text",
    "transactions_transaction.customer_email", "transactions_transaction.customer_name",
    "transactions_transaction.description", "transactions_transaction.search_text",
}  # fmt: skip


@pytest.mark.parametrize("processor", ["stripe", "nmi"])
def test_nothing_is_seen_where_it_has_no_business(
    celery_worker_process, sandbox, processor, tmp_path
):
    desk = Desk(sandbox, processor, ask=None)
    payment = desk.pay(payer_name=NAME, payer_email=EMAIL)
    admin = make_person("admin", is_superuser=True)
    _token, key = make_token(admin)
    Note.objects.create(transaction=payment, text=NOTE, author=admin)
    refund, _created = request_refund(
        transaction=payment, amount=Money(500, "USD"),
        reason=RefundReason.objects.get(code="other"), note=NOTE, words=NOTE,
        requested_by=make_person("agent"), idempotency_key="one",
    )  # fmt: skip
    wait_until(
        lambda: Refund.objects.get(pk=refund.pk).status not in {Status.QUEUED, Status.SENDING}
    )

    secrets = [*sandbox.ledger.accounts[desk.name].credentials.values(), key]
    secrets += [each for each in CREDENTIALS if each not in secrets]
    shown = pages(admin, desk.account, refund) | api(key, refund) | commands(desk.account)
    for place, text in shown.items():
        assert not [each for each in secrets if each in text], place
    assert EMAIL in "".join(shown.values())  # they show what they are for
    assert list(holding(secrets)) == []
    places = {found.partition(":")[0] for found in holding(PERSON)}
    assert {"transactions_customer.email", "transactions_note.text"} <= places <= OF_PEOPLE


def pages(person, account, refund):
    """Every page about them, and their forms with something wrong."""
    client = client_of(person)
    payment = refund.transaction
    customer = Customer.objects.get(pk=payment.customer_id)
    of = {
        "gateways_processoraccount": account, "transactions_transaction": payment,
        "transactions_customer": customer, "refunds_refund": refund,
    }  # fmt: skip
    addresses = [reverse(f"admin:{name}_changelist") for name in of]
    addresses += [
        reverse(f"admin:{name}_{verb}", args=[about.pk])
        for name, about in of.items()
        for verb in ("change", "history")
    ]
    addresses += ["/admin/", reverse("admin:gateways_processoraccount_add")]
    addresses += [f"/admin/transactions/transaction/export.{each}" for each in ("csv", "xlsx")]
    found = {}
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, address
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        found[address] = body.decode(errors="replace")
    page = reverse("admin:gateways_processoraccount_change", args=[account.pk])
    found["wrong form"] = client.post(
        page, {"base_url": "http://[", "is_active": "on"}
    ).content.decode()
    found["form"] = found[page]
    assert 'autocomplete="new-password"' in found[page]
    return found


def api(key, refund):
    client = client_with(key)
    found = {}
    for address in ("accounts/", "transactions/", f"transactions/{refund.transaction_id}/",
                    "refunds/", f"refunds/{refund.pk}/", "schema/"):  # fmt: skip
        answer = client.get(f"/api/v1/{address}")
        assert answer.status_code == 200, address
        found[address] = answer.content.decode()
    return found


def commands(account):
    found = {}
    for words in (["account", "list"], ["account", "check", account.slug], ["apitoken", "list"],
                  ["rotate_credentials", "--new-data-keys"]):  # fmt: skip
        out = StringIO()
        call_command(*words, stdout=out, stderr=out)
        found[" ".join(words)] = out.getvalue()
    found["repr"] = f"{account!r} {ProcessorAccount.objects.get(pk=account.pk)!r} {vars(account)}"
    return found


class TestTheEar:
    """That it hears at all: a net without a hole is one that was tried."""

    @pytest.fixture
    def ear(self, canary_log):
        yield canary_log
        canary_log.heard.clear()

    @pytest.mark.parametrize("word", ["sandbox-secret-main", NAME, "rd_" + "a" * 43])
    def test_it_hears_what_the_mask_cannot_know(self, ear, word):
        ear.look("a place", f"before {word.upper() if word == NAME else word} after")
        assert len(ear.heard) == 1

    def test_it_listens_to_the_log(self, ear):
        logging.getLogger("gateways.somewhere").warning("refund for %s", NAME)
        assert ear.heard == [f"the log of gateways.somewhere: {NAME}"]

    def test_it_listens_to_messages(self, ear):
        ear._published(sender="a task", body=([NAME], {}))
        assert ear.heard == [f"a message to a task: {NAME}"]

    def test_it_looks_into_valkey(self, ear, valkey):
        from django.core.cache import cache

        from tests.canaries import stored_in

        cache.set("key", {"in": NAME})
        valkey.rpush("queue", NAME)
        for text in stored_in(valkey):
            ear.look("Valkey", text)
        valkey.flushdb()
        assert len(ear.heard) == 2

    def test_the_test_that_turns_the_log_off_fails(self, ear):
        logging.disable(logging.CRITICAL)
        with pytest.raises(pytest.fail.Exception, match="turned the log off"):
            ear.require_log()
        logging.getLogger().removeHandler(ear)
        with pytest.raises(pytest.fail.Exception, match="turned the log off"):
            ear.require_log()
        ear.require_log()

    def test_the_test_that_said_it_fails(self):
        canaries = Canaries()
        canaries.look("a place", NAME)
        with pytest.raises(pytest.fail.Exception, match=f"a place: {NAME}"):
            canaries.pytest_runtest_teardown()
        canaries.pytest_runtest_teardown()
