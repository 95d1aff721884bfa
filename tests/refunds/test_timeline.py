"""What happened to refunds, and what processors notified us of, as lines of a story."""

import pytest
from django.utils import timezone
from django.utils.translation import gettext, override

from refunds.history import record_event
from refunds.models import Refund, RuleKind, WebhookEvent
from refunds.policy import Reason
from refunds.rules import told
from refunds.states import Status
from refunds.timeline import event_line, webhook_lines
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_refund, make_transaction
from transactions.models import Note

from .states import add_attempt, bring

pytestmark = pytest.mark.django_db


def notify(account, **names):
    return WebhookEvent.objects.create(
        account=account,
        mode="test",
        event_type="charge.refunded",
        body_sha256=b"0" * 32,
        **{"event_id": f"evt_{WebhookEvent.objects.count()}", "state": "processed"} | names,
    )


@pytest.fixture
def payment():
    return make_transaction(related_ids="pi_1 cs_1")


def test_a_refusal_is_told_in_the_processors_words(payment):
    refund = bring(make_refund(payment, 1000), Status.FAILED, "refused", failure_message="Too old.")
    lines = [event_line(refund, event) for event in refund.events.all()]
    assert [line.why for line in lines if line.text == "Refused by the processor"] == ["Too old."]
    assert {line.amount for line in lines} == {refund.amount}
    assert [line.why for line in lines if line.text == "Taken up by a worker"] == [""]


def test_each_of_several_reasons_is_told_by_itself_in_every_language(payment):
    day = (
        "Another person has to approve it, because with it %(sum)s go back within a day at one "
        "person's word, more than %(limit)s."
    )
    risky = "Another person has to approve it, because the customer is marked as risky."
    asked = {"sum": "80.00 USD", "limit": "60.00 USD"}
    reasons = [Reason(RuleKind.DAY, day % asked), Reason(RuleKind.RISKY, risky)]
    refund = make_refund(payment, 1000)
    record_event(refund, "approval_needed", data=told(reasons))
    event = refund.events.get(kind="approval_needed")
    assert event_line(refund, event).why == f"{day % asked}\n{risky}"
    with override("pl"):
        asked = {"sum": "80,00 USD", "limit": "60,00 USD"}
        assert event_line(refund, event).why == f"{gettext(day) % asked}\n{gettext(risky)}"
        assert gettext(risky) != risky


def test_what_a_person_wrote_stays_as_they_wrote_it(payment):
    person = make_person("agent")
    Note.objects.create(transaction=payment, author=person, text="Nothing matches")
    address = f"/admin/transactions/transaction/{payment.pk}/change/"
    polish = client_of(person, headers={"accept-language": "pl"})
    text = visible(polish.get(address))
    assert text.count("Nothing matches") == 2, "in the history, and among the notes"


def test_webhooks_are_found_by_every_name_of_the_payment_and_its_refunds(payment):
    refund = bring(make_refund(payment, 1000), Status.SUCCEEDED)
    reference = add_attempt(refund, "accepted").reference
    named = [
        notify(payment.account, payment_id=payment.external_id),
        notify(payment.account, payment_id="cs_1"),
        notify(payment.account, refund_id=refund.processor_refund_id),
        notify(payment.account, reference=reference),
    ]
    for other in (
        {"payment_id": "ch_other"}, {"refund_id": "re_other"}, {"reference": "OTHER"}, {},
    ):  # fmt: skip
        notify(payment.account, **other)
    notify(make_account(), payment_id=payment.external_id)
    notify(payment.account, payment_id=payment.external_id, event_id=None, state="rejected")
    found = webhook_lines(payment, [refund])
    assert {line.url for line in found} == {
        f"/admin/refunds/webhookevent/{event.pk}/change/" for event in named
    }
    assert {line.text for line in found} == {"Webhook charge.refunded"}


def test_only_the_newest_webhooks_are_told(payment):
    for _ in range(25):
        notify(payment.account, payment_id=payment.external_id, state="failed", problem="Why.")
    found = webhook_lines(payment, [])
    assert len(found) == 20
    assert {line.why for line in found} == {"Not processed: Why."}


def test_the_page_tells_one_story_in_the_order_of_time(payment):
    person = make_person("agent")
    make_refund(payment, 1000, person)
    event = notify(payment.account, payment_id=payment.external_id)
    WebhookEvent.objects.filter(pk=event.pk).update(received_at=timezone.now())
    address = f"/admin/transactions/transaction/{payment.pk}/change/"
    text = visible(client_of(person).get(address))
    history = text[text.index("History") :]
    assert history.index("Webhook charge.refunded") < history.index("Requested")
    assert history.index("Requested") < history.index("Paid")
    assert Refund.objects.count() == 1


def test_who_may_not_see_webhooks_is_not_told_of_them(payment, make_user):
    someone = make_user("transactions.view_transaction", "refunds.view_refund")
    notify(payment.account, payment_id=payment.external_id)
    address = f"/admin/transactions/transaction/{payment.pk}/change/"
    assert "Webhook charge" not in visible(client_of(someone).get(address))
