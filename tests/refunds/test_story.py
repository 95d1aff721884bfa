"""Which buttons a refund has, for whom, and how often a page asks again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import story
from refunds.models import Refund
from refunds.states import MOVING, Status
from tests.rest import make_person, make_refund, make_transaction

from .states import bring

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


def test_approval_is_for_another_person(agent):
    refund = make_refund(make_transaction(), 1000, agent)
    refund.status = Status.AWAITING_APPROVAL  # nothing asks for approval yet
    approver = make_person("approver")
    [for_them] = story.tell([refund], approver)
    assert names(for_them.buttons) == ["approve", "reject", "cancel"]
    [for_us] = story.tell([refund], agent)
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


def test_the_history_is_told_newest_first_with_who_did_what(refund):
    agent = make_person("agent", first_name="Ana", last_name="Lup")
    second = make_refund(refund.transaction, 500, agent)
    bring(second, Status.FAILED, "refused")
    told = story.tell(story.load(refund.transaction.refunds.all()), agent)
    lines = [(line.text, line.actor) for _refund, line in story.timeline(told)]
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
    """The kinds are literals at the calls of ``move`` and ``record_event``."""
    import ast
    from pathlib import Path

    kinds = set()
    for path in Path(story.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            place = {"move": 2, "record_event": 1, "_postpone": 2, "_hurry": None}.get(name)
            if place is not None and len(node.args) > place:
                kinds |= _texts(node.args[place])
            kinds |= {
                text
                for keyword in node.keywords
                if keyword.arg == "kind"
                for text in _texts(keyword.value)
            }
    assert {"requested", "succeeded", "canceled", "check_asked"} <= kinds
    assert kinds <= story._EVENTS.keys()


def _texts(node):
    import ast

    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
