"""A campaign with a real worker that is killed in the middle of it."""

import os
import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns import running, services
from campaigns.models import Campaign, CampaignState, ItemState
from refunds.models import Refund
from tests.rest import make_transaction
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_killed_in_the_middle_it_goes_on_and_pays_nobody_twice(
    account, campaign_of, second, celery_worker_process
):
    payments = [make_transaction(account) for _ in range(120)]
    campaign = campaign_of(is_prepared=False, most_money=100_000_000)
    wait_until(lambda: state_of(campaign) == CampaignState.READY, 30)
    services.start(campaign, actor=second)
    wait_until(lambda: Refund.objects.count() >= 10, 30)
    os.killpg(celery_worker_process.pids["worker"], signal.SIGKILL)

    celery_worker_process.wait_until_ready()  # another one takes its place
    # What the beat does every ten seconds, once the lease of who was killed has run out.
    Campaign.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    running.hand_out_open()
    wait_until(lambda: not campaign.items.filter(state=ItemState.INCLUDED).exists(), 60)
    refunded = Refund.objects.values_list("transaction", flat=True)
    assert sorted(refunded) == [each.pk for each in payments]
    assert campaign.items.filter(refund__isnull=False).count() == len(payments)


def state_of(campaign):
    return Campaign.objects.get(pk=campaign.pk).state
