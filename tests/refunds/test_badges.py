import pytest

from refunds.badges import TONES
from refunds.states import AttemptState, Status


@pytest.mark.parametrize("choice", [*Status, *AttemptState])
def test_every_state_has_a_tone(choice):
    assert choice in TONES
