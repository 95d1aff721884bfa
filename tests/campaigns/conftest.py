from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from campaigns.models import Campaign


@pytest.fixture
def maker(db):
    from tests.rest import make_person

    return make_person("manager", first_name="Ana", last_name="Lup", email="ana@example.com")


@pytest.fixture
def second(db):
    from tests.rest import make_person

    return make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")


@pytest.fixture
def account(db):
    from tests.rest import make_account

    return make_account("shop")


@pytest.fixture
def payments(account):
    """Four payments of 100.00 USD."""
    from tests.rest import make_transaction

    return [make_transaction(account, external_id=f"ch_{number}") for number in range(4)]


def make_campaign(maker: User, lines=(), *, is_prepared=True, **fields) -> Campaign:
    """A campaign of these lines, or of what ``query`` shows, after its dry run."""
    from campaigns import running, services
    from campaigns.models import Campaign
    from refunds.models import RefundReason

    values = {
        "name": "Outage of Friday",
        "query": "" if lines else "account=shop",
        "reason": RefundReason.objects.get(code="service_issue"),
        "most_refunds": 1000,
        "most_money": 10_000_000,
    }
    campaign = services.make(Campaign(**values | fields), lines, actor=maker)
    if is_prepared:
        running.work(campaign.pk)
        campaign.refresh_from_db()
    return campaign


@pytest.fixture
def campaign_of(maker):
    """``campaign_of(query="…")`` or ``campaign_of([Named(…), …])``, made by ``maker``."""
    return partial(make_campaign, maker)


@pytest.fixture
def started(campaign_of, second):
    """A campaign that a second person has started, and no worker has taken up."""
    from campaigns import services

    def started(*args, **fields) -> Campaign:
        return services.start(campaign_of(*args, **fields), actor=second)

    return started
