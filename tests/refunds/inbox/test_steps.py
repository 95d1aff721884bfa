"""What is done from the page of a case: rulings of two people, and single steps."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from gateways.models import ProcessorAccount
from refunds import rulings
from refunds.attention import raise_case
from refunds.models import Attention, AttentionKind, Refund, Ruling, Verdict
from refunds.states import Status
from tests.pages import client_of, visible
from tests.refunds.states import add_attempt, bring
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction
from transactions.models import Transaction

from .cases import HTMX, INBOX, make_unapproved, make_unknown, page_of, raise_many, step_of

pytestmark = pytest.mark.django_db

K = AttentionKind
SAW = "The list of refunds of 3 March at the processor ends without it."


class TestRulings:
    def propose(self, client, case, action="confirm_did_not", **values):
        values = {"evidence": SAW} | values
        return client.post(step_of(case, action), values, headers=HTMX)

    def test_what_is_not_possible_yet_is_said_in_the_dialog_too(self, browser, agent):
        case = make_unknown(agent)
        response = browser.get(step_of(case, "send_again"), headers=HTMX)
        assert "Not possible now." in visible(response)
        assert "<form" not in response.content.decode()

    def test_what_is_over_for_good_is_not_said_to_come(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 2500, agent), Status.FAILED)
        text = visible(browser.get(step_of(make_case(refund, K.OVER_REFUNDED), "send_again")))
        assert "Only a refund whose outcome is unknown can be ruled about" in text
        assert "Not possible" not in text

    def test_what_waits_for_a_ruling_is_not_said_to_be_over(self, browser, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        text = visible(browser.get(step_of(case, "confirm_did_not")))
        assert "Somebody has proposed an outcome already." in text
        assert "can no longer be done" not in text

    def test_a_settled_case_takes_no_step(self, browser, agent):
        case = make_unknown(agent)
        Attention.objects.filter(pk=case.pk).close("Found.")
        text = visible(browser.get(step_of(case, "send_again")))
        assert "This case is settled: Found." in text

    def test_without_htmx_it_is_a_page_with_a_form(self, browser, agent):
        case = make_unknown(agent, hours=30)
        html = browser.get(step_of(case, "confirm_did_not")).content.decode()
        assert "<html" in html
        assert f'<form method="post" action="{step_of(case, "confirm_did_not")}"' in html
        assert "csrfmiddlewaretoken" in html
        assert 'aria-describedby="case-evidence-error case-evidence-help"' in html

    def test_two_people_settle_it(self, browser, second, agent, approver):
        case = make_unknown(agent, hours=30)
        response = self.propose(browser, case)
        assert response["HX-Redirect"] == INBOX
        assert "“It was not made” is proposed." in visible(browser.get(INBOX))
        ruling = Ruling.objects.get()
        assert (ruling.proposed_by, ruling.verdict) == (agent, Verdict.DID_NOT)

        own = visible(browser.get(page_of(case)))
        assert "You proposed it, so somebody else has to confirm it." in own
        page = visible(second.get(page_of(case)))
        for expected in (SAW, "Ana Lup", "will count as failed", "Confirm", "Reject"):
            assert expected in page, expected
        dialog = second.get(step_of(case, "confirm_ruling"), headers=HTMX)
        assert "25.00 USD can be refunded again" in visible(dialog)

        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": ruling.pk}, follow=True)
        assert answer.redirect_chain == [(INBOX, 302)]
        assert "the refund of 25.00 USD counts as not made" in visible(answer)
        refund = Refund.objects.get(pk=case.refund_id)
        assert refund.status == Status.FAILED
        assert Transaction.objects.get(pk=refund.transaction_id).refundable_minor == 10_000
        assert Attention.objects.get(pk=case.pk).closed_at

    def test_a_double_click_is_one_ruling_and_no_error(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        for _ in range(2):
            assert self.propose(browser, case)["HX-Redirect"] == INBOX
        ruling = Ruling.objects.get()
        values = {"ruling": ruling.pk}
        for _ in range(2):
            answer = second.post(step_of(case, "confirm_ruling"), values, follow=True)
            assert "counts as not made" in visible(answer)
        assert Ruling.objects.filter(confirmed=True).count() == 1

    def test_somebody_elses_proposal_is_not_taken_for_ones_own(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        response = self.propose(second, case)
        assert response.status_code == 200
        assert "Somebody has proposed an outcome already" in visible(response)

    def test_who_proposed_does_not_confirm(self, agent):
        manager = make_person("manager")
        case = make_unknown(agent, hours=30)
        client = client_of(manager)
        self.propose(client, case)
        [ruling] = Ruling.objects.all()
        assert step_of(case, "confirm_ruling") not in client.get(page_of(case)).content.decode()
        answer = client.post(step_of(case, "confirm_ruling"), {"ruling": ruling.pk})
        assert answer.status_code == 403
        assert Refund.objects.get(pk=case.refund_id).status == Status.UNKNOWN

    def test_it_was_made_needs_the_id(self, browser, second, agent):
        case = make_unknown(agent)
        response = self.propose(browser, case, "confirm_happened")
        assert "Enter the id that the processor shows." in visible(response)
        response = self.propose(browser, case, "confirm_happened", processor_refund_id="a b")
        assert "Enter the id that the processor gave" in visible(response)
        assert 'id="case-processor_refund_id-error"><p role="alert">' in response.content.decode()
        self.propose(browser, case, "confirm_happened", processor_refund_id="60012345")
        page = visible(second.get(page_of(case)))
        assert "will count as refunded, under the processor's id 60012345" in page

    def test_evidence_is_text_and_never_a_card_number(self, browser, agent):
        case = make_unknown(agent, hours=30)
        assert "looks like a card number" in visible(
            self.propose(browser, case, evidence="4242 4242 4242 4242 was not refunded")
        )
        assert "at least 20 characters" in visible(self.propose(browser, case, evidence="No."))
        self.propose(browser, case, evidence="<script>alert(1)</script> is what it showed")
        assert "<script>alert" not in browser.get(page_of(case)).content.decode()

    def test_ones_own_proposal_is_withdrawn_and_confirmed_by_somebody_else(self, second, agent):
        case = make_unknown(agent, hours=30)
        self.propose(second, case)
        assert "Withdraw" in visible(second.get(page_of(case)))
        assert "Withdraw" in visible(second.get(step_of(case, "reject_ruling"), headers=HTMX))
        dialog = visible(second.get(step_of(case, "confirm_ruling"), headers=HTMX))
        assert "somebody else has to confirm it" in dialog
        other = client_of(make_person("approver"))
        assert "Withdraw" not in visible(other.get(page_of(case)))

    def test_a_proposal_is_withdrawn_or_rejected(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        for client, done in ((browser, "withdrawn"), (second, "rejected")):
            self.propose(browser, case)
            ruling = Ruling.objects.get(decided_at__isnull=True)
            for _ in range(2):
                answer = client.post(
                    step_of(case, "reject_ruling"), {"ruling": ruling.pk}, follow=True
                )
                assert f"is {done}. Nothing changed" in visible(answer)
        assert Refund.objects.get(pk=case.refund_id).status == Status.UNKNOWN

    def test_the_ruling_that_was_seen_is_the_one_that_counts(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        seen = Ruling.objects.get()
        rulings.reject(seen, actor=agent)
        self.propose(browser, case, "confirm_happened", processor_refund_id="1")
        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": seen.pk}, headers=HTMX)
        assert answer.status_code == 200
        assert "has decided this already" in visible(answer)
        shown = Ruling.objects.get(decided_at=None)
        assert f'name="ruling" value="{shown.pk}"' in answer.content.decode()
        other = make_unknown(agent, hours=30)
        self.propose(browser, other)
        foreign = other.refund.rulings.get()
        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": foreign.pk}, headers=HTMX)
        assert 'role="alert"' in answer.content.decode()
        assert not Ruling.objects.filter(confirmed=True).exists()

    def test_a_queued_refund_is_tried_now(self, browser, agent):
        case = make_case(make_refund(make_transaction(), 2500, agent), K.STUCK)
        assert "Have it tried now" in visible(browser.get(page_of(case)))
        answer = browser.post(step_of(case, "try_now"), follow=True)
        assert "as soon as a worker is free" in visible(answer)
        assert case.refund.events.filter(kind="hurried", actor=agent).exists()

    def test_an_owner_who_may_not_end_it_hands_it_over(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 2500, agent), Status.SUCCEEDED)
        text = visible(browser.get(page_of(make_case(refund, K.MISSING))))
        assert "Hand it over to somebody who may approve refunds." in text

    def test_what_an_approver_cannot_start_goes_to_who_requests(self, second, agent):
        case = make_case(make_refund(make_transaction(), 2500, agent), K.STUCK)
        text = visible(second.get(page_of(case)))
        assert "Hand it over to somebody who may request refunds." in text
        assert "who may approve refunds" not in text

    @pytest.mark.parametrize("blank", ["\u200b", "\u2060", "\n", "\u00a0"])
    def test_evidence_that_cannot_be_seen_is_none(self, browser, agent, blank):
        case = make_unknown(agent, hours=30)
        typed = {"evidence": f"a{blank * 60}b"}
        answer = browser.post(step_of(case, "confirm_did_not"), typed, headers=HTMX)
        assert "at least 20 characters" in visible(answer)
        assert not Ruling.objects.exists()

    def test_a_foreign_site_cannot_post(self, approver, browser, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        client = client_of(approver, enforce_csrf_checks=True)
        values = {"ruling": Ruling.objects.get().pk}
        assert client.post(step_of(case, "confirm_ruling"), values).status_code == 403


class TestSteps:
    def test_ask_now_stays_on_the_page(self, browser, agent):
        case = make_unknown(agent)
        answer = browser.post(step_of(case, "ask_now"), follow=True)
        assert answer.redirect_chain == [(page_of(case), 302)]
        assert "The processor is being asked." in visible(answer)
        assert "Asked to check now" in visible(answer)

    def test_an_error_of_a_press_is_said_on_the_page(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
        case = make_case(refund, K.RETURNED)
        answer = browser.post(step_of(case, "ask_now"), follow=True)
        assert answer.redirect_chain == [(page_of(case), 302)]
        assert "Only a refund that is unknown or pending can be checked." in visible(answer)

    def test_take_and_hand_over(self, browser, second, agent, approver):
        case = make_unknown(agent)
        second.post(step_of(case, "take"))
        assert Attention.objects.get(pk=case.pk).owner == approver
        dialog = second.get(step_of(case, "hand_over"), headers=HTMX).content.decode()
        assert "Ana Lup" in dialog
        values = {"to": agent.pk}
        for _ in range(2):
            answer = second.post(step_of(case, "hand_over"), values, follow=True)
            assert "The case belongs to Ana Lup now." in visible(answer)
        assert Attention.objects.get(pk=case.pk).owner == agent
        viewer = make_person("viewer")
        answer = second.post(step_of(case, "hand_over"), {"to": viewer.pk}, headers=HTMX)
        assert "Select a valid choice" in visible(answer)

    def test_accept_closes_it_with_a_note(self, second, agent):
        refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
        case = make_case(refund, K.OVER_REFUNDED)
        for _ in range(2):
            answer = second.post(step_of(case, "accept"), {"note": "It was agreed."}, follow=True)
            assert answer.redirect_chain == [(INBOX, 302)]
        assert Attention.objects.get(pk=case.pk).outcome == "It was agreed."

    def test_what_may_be_ours_says_so_before_it_is_accepted(self, second, agent):
        payment = make_transaction(make_account(processor="nmi"))
        outside = bring(make_refund(payment, 1000), Status.SUCCEEDED)
        ours = bring(make_refund(payment, 1000, agent), Status.FAILED)
        add_attempt(ours, "ruled_out", first_sent_at=timezone.now())
        case = make_case(outside, K.MADE_OUTSIDE, "It may be ours.")
        Attention.objects.update(evidence={"may_be": str(ours.pk)})
        page = second.get(page_of(case)).content.decode()
        assert f"/refund/{ours.pk}/change/" in page
        for action in ("accept", "count_as_ours"):
            assert step_of(case, action) in page
            assert "It may be ours." in visible(second.get(step_of(case, action), headers=HTMX))
        asked = visible(second.get(step_of(case, "count_as_ours"), headers=HTMX))
        assert "It is the refund of 10.00 USD that was asked for here on" in " ".join(asked.split())
        for _ in range(2):
            answer = second.post(step_of(case, "count_as_ours"), {"note": "Seen."}, follow=True)
            said = "It is the refund of ours that counted as not made. Seen. Nothing more goes out"
            assert said in visible(answer)
        assert ours.events.filter(kind="made_after_all").count() == 1
        stale = second.post(step_of(case, "accept"), {"note": "No, another."}, headers=HTMX)
        assert "closed already: It is the refund of ours" in visible(stale)
        assert "No, another." in stale.content.decode()

    def test_what_may_have_been_paid_twice_says_so_whenever_that_was_sent(self, second, agent):
        payment = make_transaction(make_account(processor="nmi"))
        outside = bring(make_refund(payment, 1000), Status.SUCCEEDED)
        ours = bring(make_refund(payment, 1000, agent), Status.FAILED)
        add_attempt(ours, "ruled_out", first_sent_at=timezone.now())
        case = make_case(outside, K.MADE_OUTSIDE, "It may be ours.")
        pages = (page_of(case), step_of(case, "accept"), step_of(case, "count_as_ours"))
        assert all("paid twice" not in visible(second.get(each)) for each in pages)
        bring(make_refund(payment, 1000, agent), Status.SUCCEEDED)
        assert all("paid twice" in visible(second.get(each)) for each in pages)

    def test_a_second_person_lets_go_what_waits_for_one(self, browser, second, agent):
        refund = make_refund(make_transaction(), 1000, agent)
        case = make_case(refund, K.NOT_SENT, "Something like it is listed.")
        Attention.objects.update(evidence={"listed": ["re_1"]})
        assert step_of(case, "let_go") not in browser.get(page_of(case)).content.decode()
        refused = browser.post(step_of(case, "let_go"))
        assert refused.status_code == 403
        assert "Another person than who asked for it" in visible(refused)
        refused = browser.get(step_of(case, "let_go"), headers=HTMX)
        assert "Another person than who asked for it" in visible(refused)
        assert step_of(case, "let_go") in second.get(page_of(case)).content.decode()
        dialog = visible(second.get(step_of(case, "let_go"), headers=HTMX))
        assert "what the processor lists is another refund" in dialog
        for _ in range(2):
            answer = second.post(step_of(case, "let_go"), follow=True)
            assert "It goes out as soon as a worker is free." in visible(answer)
            assert step_of(case, "let_go") not in answer.content.decode()
        assert refund.events.filter(kind="let_go").count() == 1

    def test_what_is_let_go_while_its_account_is_held_waits(self, second, agent):
        refund = make_refund(make_transaction(), 1000, agent)
        case = make_case(refund, K.NOT_SENT, "Something like it is listed.")
        Attention.objects.update(evidence={"listed": ["re_1"]})
        ProcessorAccount.objects.update(held_reason="It was restored.")
        answer = second.post(step_of(case, "let_go"), follow=True)
        assert "goes out by itself when its account sends again" in visible(answer)

    def test_nothing_is_let_go_that_waits_for_something_else(self, second, agent):
        case = make_case(make_refund(make_transaction(), 1000, agent), K.NOT_SENT)
        assert step_of(case, "let_go") not in second.get(page_of(case)).content.decode()
        answer = second.post(step_of(case, "let_go"), headers=HTMX)
        assert "Only what waits for a person can be let go." in visible(answer)

    def test_what_waits_is_canceled_where_its_case_stands(self, browser, agent):
        refund = make_refund(make_transaction(), 1000, agent)
        case = make_case(refund, K.NOT_SENT, "Something like it is listed.")
        assert step_of(case, "cancel") in browser.get(page_of(case)).content.decode()
        dialog = visible(browser.get(step_of(case, "cancel"), headers=HTMX))
        assert "It is not owed, or was paid otherwise." in dialog
        for _ in range(2):
            answer = browser.post(step_of(case, "cancel"), follow=True)
            assert "Canceled; nothing was refunded." in visible(answer)
        refund.refresh_from_db()
        assert refund.status == Status.CANCELED
        assert refund.events.filter(kind="canceled", actor=agent).count() == 1
        assert not Attention.objects.open().exists()

    @pytest.mark.parametrize(
        ("step", "said", "status", "kind"),
        [
            ("approve", "It is approved.", Status.QUEUED, "approved"),
            ("reject", "Rejected; nothing was refunded.", Status.CANCELED, "rejected"),
        ],
    )
    def test_what_nobody_approved_is_decided_where_its_case_stands(
        self, second, agent, approver, step, said, status, kind
    ):
        case = make_unapproved(agent)
        page = second.get(page_of(case)).content.decode()
        assert step_of(case, "cancel") not in page
        for name in ("approve", "reject"):
            assert step_of(case, name) in page
        asked = second.get(step_of(case, step)).content.decode()
        seen = re.search(r'name="seen" value="(\w+)"', asked)
        for _ in range(2):
            answer = second.post(
                step_of(case, step), {"seen": seen[1]} if seen else {}, follow=True
            )
            assert said in visible(answer)
        refund = Refund.objects.get()
        assert refund.status == status
        assert refund.events.filter(kind=kind, actor=approver).count() == 1
        assert not Attention.objects.open().exists()

    def test_who_asked_for_it_does_not_decide(self, agent):
        agent.user_permissions.add(Permission.objects.get(codename="approve_refund"))
        case = make_unapproved(agent)
        browser = client_of(agent)
        page = browser.get(page_of(case))
        assert step_of(case, "cancel") in page.content.decode()
        assert "Hand it over to somebody who may approve refunds." in visible(page)
        for name in ("approve", "reject"):
            assert step_of(case, name) not in page.content.decode()
        assert browser.post(step_of(case, "approve")).status_code == 403
        assert Refund.objects.get().status == Status.AWAITING_APPROVAL

    def test_what_is_settled_already_has_no_button_any_more(self, second, agent):
        refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
        case = make_case(refund, K.OVER_REFUNDED)
        client_of(make_person("approver")).post(step_of(case, "accept"), {"note": "Agreed."})
        answer = second.post(step_of(case, "accept"), {"note": "Agreed, too."}, headers=HTMX)
        assert "closed already: Agreed." in visible(answer)
        assert "Agreed, too." in answer.content.decode()
        assert 'type="submit"' not in answer.content.decode()

    def test_what_waits_for_its_account_is_not_tried_now(self, browser, second, agent):
        case = make_case(make_refund(make_transaction(), 1000, agent), K.STUCK)
        assert step_of(case, "try_now") in browser.get(page_of(case)).content.decode()
        account = ProcessorAccount.objects.get(pk=case.account_id)
        account.held_reason = "It was restored."
        account.save()
        page = browser.get(page_of(case))
        assert step_of(case, "try_now") not in page.content.decode()
        assert visible(page).count("It waits, and goes out by itself") == 1
        page = second.get(page_of(case))
        assert step_of(case, "cancel") in page.content.decode()
        assert "There is nothing to decide here." not in visible(page)
        onlooker = client_of(make_person("agent", email="onlooker@example.com"))
        assert "There is nothing to decide here." in visible(onlooker.get(page_of(case)))
        answer = browser.post(step_of(case, "try_now"), follow=True)
        assert "It was restored." in visible(answer)
        assert not case.refund.events.filter(kind="hurried").exists()

    @pytest.mark.django_db(transaction=True)
    def test_credentials_that_are_accepted_settle_the_case_at_once(self, sandbox):
        account = make_account(
            "stripe-main", base_url=f"{sandbox.url}/stripe", paused_reason="The key was revoked."
        )
        account.set_credentials(sandbox.ledger.accounts["stripe-main"].credentials)
        account.save()
        raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "Paused.", account=account)
        case = Attention.objects.get()
        admin = client_of(make_person("admin"))
        text = visible(admin.post(step_of(case, "check_account"), follow=True))
        assert "Stripe accepts the key" in text
        assert "What waits for it goes out by itself." in text
        assert "The account works again" in text
        assert "Enter working credentials" not in text

    def test_what_only_proof_answers_is_not_accepted(self, second, agent):
        case = make_unknown(agent)
        assert "This closes by itself" in visible(second.get(page_of(case)))
        answer = second.post(step_of(case, "accept"), {"note": ""}, headers=HTMX)
        assert "This closes by itself" in visible(answer)

    def test_who_may_not_is_refused(self, agent):
        case = make_unknown(agent, hours=30)
        viewer = client_of(make_person("viewer"))
        for action, values in (
            ("confirm_did_not", {"evidence": SAW}), ("take", {}), ("check_account", {}),
        ):  # fmt: skip
            assert viewer.post(step_of(case, action), values).status_code == 403
        assert not Ruling.objects.exists()

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize(
        "action",
        ["accept", "count_as_ours", "hand_over", "confirm_ruling", "reject_ruling", "confirm_happened",
         "confirm_did_not", "send_again"],
    )  # fmt: skip
    def test_who_may_not_is_refused_before_any_form(self, agent, action, method):
        case = make_unknown(agent, hours=30)
        viewer = client_of(make_person("viewer"))
        assert getattr(viewer, method)(step_of(case, action)).status_code == 403

    def test_who_does_not_own_it_is_refused_before_any_form(self, agent):
        case = make_unknown(agent, hours=30)
        other = client_of(make_person("agent"))
        for action in ("accept", "hand_over", "confirm_ruling", "reject_ruling"):
            assert other.post(step_of(case, action)).status_code == 403, action

    def test_an_owner_hands_over_twice_without_an_error(self, browser, agent, approver):
        case = make_unknown(agent)
        for _ in range(2):
            answer = browser.post(step_of(case, "hand_over"), {"to": approver.pk}, follow=True)
            assert "The case belongs to Ion Rusu now." in visible(answer)

    @pytest.mark.parametrize(
        ("action", "values", "sentence"),
        [
            ("ask_now", {}, "not about a refund"),
            ("confirm_did_not", {"evidence": SAW}, "not about a refund"),
            ("confirm_ruling", {"ruling": "1"}, "This proposal is no longer there."),
            ("process_webhook", {}, "not about a webhook"),
        ],
    )
    def test_what_the_case_is_not_about_is_said(self, action, values, sentence):
        raise_many(1)
        manager = client_of(make_person("manager"))
        answer = manager.post(step_of(Attention.objects.get(), action), values, follow=True)
        assert answer.status_code == 200
        assert sentence in visible(answer)

    def test_a_press_has_no_page_of_its_own(self, browser, agent):
        case = make_unknown(agent)
        assert browser.get(step_of(case, "take"))["Location"] == page_of(case)


def test_what_was_approved_once_is_not_said_to_be_approved_when_it_is_refused(
    approver, second, agent
):
    """It was approved, sent back for another one, and has changed since this person looked."""
    from refunds.approvals import approve_refund
    from refunds.models import RuleKind
    from refunds.policy import Reason
    from refunds.rules import ask_again

    case = make_unapproved(agent)
    refund = approve_refund(case.refund, actor=approver)
    ask_again(refund, [Reason(RuleKind.APPROVING, "The limit was lowered.")])
    case = make_case(refund, K.NOT_APPROVED, "Nobody has approved it for a day.")
    answer = second.post(step_of(case, "approve"), {"seen": "another"}, follow=True)
    assert Refund.objects.get().status == Status.AWAITING_APPROVAL
    assert "It is approved." not in visible(answer)
