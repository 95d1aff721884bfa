import pytest

from transactions.badges import TONES, badge_of
from transactions.models import RefundProgress, TransactionStatus


@pytest.mark.parametrize("choice", [*RefundProgress, *TransactionStatus])
def test_every_state_has_a_tone(choice):
    assert badge_of(choice).tone == TONES[choice]
    assert badge_of(choice).label == choice.label
