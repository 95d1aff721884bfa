from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from refunds.badges import CASE_TONES, TONES, case_badge, refund_badge
from refunds.models import Attention, AttentionKind, Refund
from refunds.states import AttemptState, Status


@pytest.mark.parametrize("choice", [*Status, *AttemptState])
def test_every_state_has_a_tone(choice):
    assert choice in TONES


def test_every_case_has_a_tone():
    assert set(CASE_TONES) == set(AttentionKind)
    badge = case_badge(Attention(kind=AttentionKind.DISPUTED))
    assert (badge.label, badge.tone) == ("Disputed", "bad")


@pytest.mark.parametrize(
    ("status", "seconds", "label"),
    [
        (Status.QUEUED, settings.UNDO_SECONDS, "Queued"),
        (Status.QUEUED, 1800, "Waiting"),
        (Status.UNKNOWN, 1800, "Outcome unknown"),
    ],
)
def test_a_refund_that_waits_for_settlement_is_not_called_queued(status, seconds, label):
    refund = Refund(status=status, next_action_at=timezone.now() + timedelta(seconds=seconds))
    assert refund_badge(refund).label == label
