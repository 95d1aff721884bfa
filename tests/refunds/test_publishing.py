"""Messages are hints: losing one, or the broker, costs seconds."""

from __future__ import annotations

import pytest

from refunds.models import Refund
from tests.scripts import NO_BROKER, run_script

from .desk import Desk

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
def test_a_broker_that_is_down_refuses_nobody(desk: Desk):
    refund = desk.ask(desk.pay(), 2_500)
    Refund.objects.filter(pk=refund.pk).update(enqueued_at=None)
    script = f"from refunds.publishing import publish; print('sent', publish(['{refund.pk}']))"
    assert run_script(script, REDIS_URL=NO_BROKER).endswith("sent 0")
    refund.refresh_from_db()
    assert refund.enqueued_at is None
