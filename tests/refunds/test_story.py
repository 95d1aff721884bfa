"""Which buttons a refund has, for whom, and how often a page asks again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.failures import Action
from gateways.models import ProcessorAccount
from refunds import story, timeline
from refunds.attention import close_cases, flag
from refunds.history import record_event
from refunds.models import ApprovalRule, AttentionKind, Refund, Ruling, Verdict
from refunds.states import MOVING, AttemptState, Status
from tests.rest import make_person, make_refund, make_transaction
from transactions.models import Transaction
from transactions.timeline import newest_first

from .states import add_attempt, bring, bring_back, prove_made, take_back

pytestmark = pytest.mark.django_db


def buttons(refund, person):
    [told] = story.tell(story.load(Refund.objects.filter(pk=refund.pk)), person)
    return names([*told.remedies, *told.buttons])


def names(remedies):
    """The last words of the addresses that are pressed."""
    return [each.url.rstrip("/").rpartition("/")[2] for each in remedies if each.is_press]


@pytest.fixture
def agent():
    return make_person("agent")


@pytest.fixture
def refund(agent):
    return make_refund(make_transaction(), 1000, agent)


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (Status.SENDING, []),
        (Status.UNKNOWN, ["check"]),
        (Status.PENDING, ["check"]),
        (Status.SUCCEEDED, []),
        (Status.FAILED, ["retry"]),
        (Status.CANCELED, ["retry"]),
        (Status.RETURNED, []),
    ],
)
def test_what_may_be_done_next(refund, agent, status, offered):
    assert buttons(bring(refund, status), agent) == offered


def test_who_may_only_look_asks_nothing(refund):
    assert buttons(bring(refund, Status.UNKNOWN), make_person("viewer")) == []
    assert buttons(refund, make_person("approver")) == ["check"]


def test_a_queued_refund_is_undone_by_its_requester_or_an_approver(refund, agent):
    assert buttons(refund, agent) == ["cancel"]
    assert buttons(refund, make_person("agent")) == []
    assert buttons(refund, make_person("approver")) == ["cancel"]
    assert buttons(refund, make_person("viewer")) == []


def test_a_refund_that_waits_for_settlement_may_be_tried_now(refund, agent):
    later = timezone.now() + timedelta(minutes=30)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=later)
    assert buttons(refund, agent) == ["cancel", "hurry"]
    assert buttons(refund, make_person("viewer")) == []


def test_who_may_not_refund_does_not_try_again(refund):
    bring(refund, Status.FAILED)
    assert buttons(refund, make_person("viewer")) == []


def test_a_refund_that_was_tried_again_is_not_offered_again(refund, agent):
    from refunds.services import retry_refund

    failed = bring(refund, Status.FAILED)
    retry_refund(failed, actor=agent)
    assert buttons(failed, agent) == []


def test_what_was_called_off_because_it_was_paid_is_not_offered_again(refund, agent):
    assert buttons(bring(refund, Status.CANCELED, "made_before"), agent) == []


def test_what_was_made_after_all_is_owed_again_only_when_that_comes_back(refund, agent):
    failed = bring(refund, Status.FAILED, failure_code="insufficient_balance")
    assert buttons(failed, agent) == ["retry"]
    outside = bring(make_refund(failed.transaction, 1000), Status.SUCCEEDED)
    Refund.objects.filter(pk=failed.pk).update(made_as=outside)
    [told] = story.tell(story.load(Refund.objects.filter(pk=failed.pk)), agent)
    assert "went back under another refund" in str(told.explanation.explanation)
    assert buttons(failed, agent) == []
    bring_back(outside)
    assert buttons(failed, agent) == ["retry"]


def test_what_tries_again_what_was_made_after_all_is_not_offered_again(refund, agent):
    from refunds.services import cancel_refund, retry_refund

    failed = bring(refund, Status.FAILED)
    again = cancel_refund(retry_refund(failed, actor=agent), actor=agent)
    assert "retry" in buttons(again, agent)
    prove_made(failed)
    assert buttons(again, agent) == []


def test_what_was_asked_for_anew_and_made_is_not_offered_to_be_tried_again(refund, agent):
    failed = bring(refund, Status.FAILED, failure_code="unreachable")
    bring(make_refund(failed.transaction, 1000, agent), Status.SUCCEEDED)
    assert buttons(failed, agent) == []
    [told] = story.tell(story.load(Refund.objects.filter(pk=failed.pk)), agent)
    assert "As much was asked for since" in str(told.explanation.next_step)


def test_what_was_called_off_is_offered_again_once_that_came_back(refund, agent):
    from refunds.services import retry_refund

    failed = bring(refund, Status.FAILED, failure_code="unreachable")
    again = retry_refund(failed, actor=agent)
    outside = bring(make_refund(failed.transaction, 1000), Status.SUCCEEDED)
    Refund.objects.filter(pk=failed.pk).update(made_as=outside)
    called_off = bring(again, Status.CANCELED, "made_before")
    assert buttons(called_off, agent) == []
    bring_back(outside)
    assert (buttons(failed, agent), buttons(called_off, agent)) == ([], ["retry"])
    both = Refund.objects.filter(pk__in=[failed.pk, called_off.pk])
    words = {
        one.refund.pk: one.explanation.next_step for one in story.tell(story.load(both), agent)
    }
    assert "see the newer refund" in str(words[failed.pk])
    assert "Try again if" in str(words[called_off.pk])


@pytest.mark.parametrize(("status", "offered"), [("canceled", []), ("failed", ["retry"])])
def test_what_nobody_looked_for_after_a_restore_is_not_offered_again(
    refund, agent, status, offered
):
    ended = bring(refund, Status(status))
    Refund.objects.filter(pk=ended.pk).update(look_up_first=True)
    assert buttons(ended, agent) == offered


def test_approval_is_for_another_person(agent):
    approver, manager = make_person("approver"), make_person("manager")
    ApprovalRule.objects.create(currency="USD", value=0, made_by=manager)
    refund = make_refund(make_transaction(), 1000, agent)
    [for_them] = story.tell([refund], approver)
    assert for_them.decision.may
    assert not for_them.buttons
    [for_us] = story.tell([refund], agent)
    assert not for_us.decision.may
    assert names(for_us.buttons) == ["cancel"]


@pytest.mark.parametrize("status", sorted(MOVING))
def test_a_page_asks_soon_while_somebody_watches(refund, status):
    refund.status = status
    assert story.poll_after([refund]) == 1500
    refund.created_at = timezone.now() - timedelta(hours=1)
    refund.next_action_at = timezone.now() + timedelta(hours=1)
    assert story.poll_after([refund]) == 20_000
    refund.next_action_at = timezone.now()
    assert story.poll_after([refund]) == 1500


@pytest.mark.parametrize("status", sorted(set(Status) - MOVING))
def test_a_page_does_not_ask_when_nothing_moves(refund, status):
    refund.status = status
    assert story.poll_after([refund]) is None


def test_a_line_asks_again_where_a_refund_settled_after_its_sums_were_read(refund):
    before = Transaction.objects.get(pk=refund.transaction_id)
    settled = bring(refund, Status.FAILED, "refused")
    assert story.poll_after_sums(before, [settled]) == 1500
    after = Transaction.objects.get(pk=refund.transaction_id)
    assert story.poll_after_sums(after, [settled]) is None


def test_the_history_is_told_newest_first_with_who_did_what(refund):
    agent = make_person("agent", first_name="Ana", last_name="Lup")
    second = make_refund(refund.transaction, 500, agent)
    bring(second, Status.FAILED, "refused")
    told = story.tell(story.load(refund.transaction.refunds.all()), agent)
    happened = newest_first(line for one in told for line in one.lines)
    lines = [(line.text, line.actor) for line in happened]
    assert lines[:3] == [
        ("Refused by the processor", "Refund Desk"),
        ("Taken up by a worker", "Refund Desk"),
        ("Requested", "Ana Lup"),
    ]
    assert len(lines) == 4


def test_an_event_without_words_of_its_own_is_still_told(refund, agent):
    bring(refund, Status.CANCELED, "something_new")
    [told] = story.tell(story.load(Refund.objects.all()), agent)
    assert told.lines[-1].text == "Something new"


def test_every_kind_of_event_in_the_code_has_words():
    """The kinds are literals at the calls of ``move``, ``record_event`` and what leads to them."""
    import ast
    from pathlib import Path

    kinds = set()
    for path in Path(story.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            place = {
                "move": 2, "record_event": 1, "put_off": 2, "_call_off": 1, "_record": 1,
            }.get(name)  # fmt: skip
            if place is not None and len(node.args) > place:
                kinds |= _texts(node.args[place])
            kinds |= {
                text
                for keyword in node.keywords
                if keyword.arg == "kind"
                for text in _texts(keyword.value)
            }
    assert {"requested", "succeeded", "canceled", "check_asked", "ruling_proposed"} <= kinds
    kinds |= {f"ruled_{verdict}" for verdict in Verdict}
    assert kinds <= timeline.EVENTS.keys()


def _texts(node):
    import ast

    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


class TestRemedies:
    """What the failure playbook advises becomes something to press or to open."""

    def told(self, refund, person):
        [told] = story.tell(story.load(Refund.objects.filter(pk=refund.pk)), person)
        return told

    def remedies(self, refund, person, code):
        Refund.objects.filter(pk=refund.pk).update(failure_code=code)
        return {each.label: each for each in self.told(refund, person).remedies}

    def test_every_advice_has_a_button_or_a_link(self):
        assert set(story._REMEDIES) == set(Action)

    def test_what_is_left_is_refunded_in_the_dialog(self, refund, agent):
        failed = bring(refund, Status.FAILED)
        found = self.remedies(failed, agent, "exceeds_refundable")
        assert list(found) == ["Refund what is left"]  # an agent may not pull
        rest = found["Refund what is left"]
        assert rest.in_dialog
        assert rest.url == f"/admin/transactions/transaction/{refund.transaction_id}/refund/"

    def test_a_manager_pulls_again(self, refund):
        found = self.remedies(
            bring(refund, Status.FAILED), make_person("manager"), "already_refunded"
        )
        assert found["Pull it again"].is_press

    def test_a_payment_that_has_not_settled_is_cancelled_whole(self, refund, agent):
        failed = bring(refund, Status.FAILED)
        assert "Cancel the whole payment" not in self.remedies(failed, agent, "not_settled")
        Transaction.objects.filter(pk=refund.transaction_id).update(status="captured")
        found = self.remedies(failed, agent, "not_settled")
        assert list(found) == ["Cancel the whole payment", "Try again"]

    def test_try_again_stands_by_the_explanation_and_nowhere_else(self, refund, agent):
        failed = bring(refund, Status.FAILED)
        assert "Try again" in self.remedies(failed, agent, "insufficient_balance")
        assert self.told(failed, agent).buttons == []

    def test_an_administrator_opens_the_account(self, refund, agent):
        failed = bring(refund, Status.FAILED)
        assert "Open the account" in self.remedies(failed, make_person("admin"), "credentials")
        assert "Write a note" in self.remedies(failed, agent, "too_old")
        assert self.remedies(failed, make_person("viewer"), "too_old") == {}

    def test_what_came_back_is_explained(self, refund, agent):
        told = self.told(bring(refund, Status.RETURNED), agent)
        assert str(told.explanation.explanation).startswith("The money came back")
        assert [each.label for each in told.remedies] == ["Refund what is left", "Write a note"]

    def test_why_it_came_back_is_told_and_what_can_be_done(self, refund, agent):
        returned = bring(refund, Status.RETURNED, failure_code="insufficient_balance")
        told = self.told(returned, agent)
        assert str(told.explanation.explanation).startswith("The money came back. The balance")
        assert [each.label for each in told.remedies] == ["Refund what is left"]

    def test_a_reason_that_is_not_listed_reads_as_that_it_came_back(self, refund, agent):
        returned = bring(refund, Status.RETURNED, failure_code="other")
        told = self.told(returned, agent)
        assert "did not take the refund" in str(told.explanation.explanation)

    def test_an_answer_that_proves_nothing_is_explained_too(self, refund, agent):
        unknown = bring(refund, Status.UNKNOWN)
        add_attempt(unknown, "ambiguous", processor_code="never heard of")
        told = self.told(unknown, agent)
        assert "no answer that proves anything" in str(told.explanation.explanation)
        assert [str(each.label) for each in told.remedies] == ["Check now"]


def test_cases_and_an_open_ruling_are_told_to_who_may_see_them(refund, agent):
    unknown = bring(refund, Status.UNKNOWN)
    attempt = add_attempt(unknown, "ambiguous")
    flag(unknown, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.")
    flag(unknown, AttentionKind.STUCK, "It stops its workers.")
    close_cases(unknown, {AttentionKind.STUCK}, "It went through.")
    ruling = Ruling.objects.create(
        refund=unknown, attempt=attempt, verdict="did_not", evidence="-", proposed_by=agent
    )
    [told] = story.tell(story.load(Refund.objects.filter(pk=refund.pk)), agent)
    assert [(case.reason, badge.label) for case, badge in told.cases] == [
        ("Nobody knows.", "Outcome unknown")
    ]
    assert told.ruling == ruling
    agent.groups.clear()
    stranger = type(agent).objects.get(pk=agent.pk)
    [told] = story.tell(story.load(Refund.objects.filter(pk=refund.pk)), stranger)
    assert told.cases == []


def told(refund, person):
    [one] = story.tell(story.load(Refund.objects.filter(pk=refund.pk)), person)
    return one


@pytest.mark.parametrize("code", ["disputed", "not_refundable", "too_old", "bad_request"])
def test_what_must_not_be_tried_again_has_no_such_button(refund, agent, code):
    assert "retry" not in buttons(bring(refund, Status.FAILED, failure_code=code), agent)


def test_what_two_people_took_back_may_be_tried_again(refund, agent):
    one = told(take_back(refund, agent, make_person("approver")), agent)
    assert "retry" in names(one.remedies)
    [(_attempt, badge)] = one.attempts
    assert badge.label == AttemptState.RULED_OUT.label


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"held_reason": "Restored."}, "Restored."),
        ({"paused_reason": "Revoked."}, "Revoked."),
        ({"is_active": False}, "The account is switched off."),
    ],
)
def test_what_waits_for_its_account_says_why_and_is_not_tried_now(refund, agent, fields, why):
    later = timezone.now() + timedelta(minutes=30)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=later)
    ProcessorAccount.objects.filter(pk=refund.account_id).update(**fields)
    one = told(refund, agent)
    assert one.waits.endswith(why)
    assert names(one.buttons) == ["cancel"]


def test_what_waits_for_settlement_says_so(refund, agent):
    later = timezone.now() + timedelta(minutes=30)
    Refund.objects.filter(pk=refund.pk).update(next_action_at=later)
    assert told(refund, agent).waits == ""
    record_event(refund, "waits_for_settlement", data={"why": "It has not settled."})
    assert told(refund, agent).waits == "It has not settled."
    assert told(bring(refund, Status.CANCELED), agent).waits == ""
