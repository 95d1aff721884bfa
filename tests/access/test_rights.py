"""Roles for every account and roles for one, as permissions, querysets and people."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.models import AccountRole
from access.rights import accounts_where, may_somewhere, within
from gateways.models import ProcessorAccount
from tests.rest import make_account, make_person, make_transaction
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

REFUND, VIEW = "refunds.request_refund", "transactions.view_transaction"


@pytest.fixture
def ours():
    return make_account("ours")


@pytest.fixture
def theirs():
    return make_account("theirs")


@pytest.fixture
def helper(ours):
    """Sees every account, and refunds payments of one."""
    person = make_person("viewer")
    give(person, "agent", ours)
    return person


def give(person: User, role: str, account: ProcessorAccount) -> None:
    AccountRole.objects.create(user=person, role=Group.objects.get(name=role), account=account)


def test_a_role_for_one_account_counts_there_alone(helper, ours, theirs):
    assert helper.has_perm(REFUND, ours)
    assert not helper.has_perm(REFUND, theirs)
    assert not helper.has_perm(REFUND)  # who forgets the account is denied
    assert may_somewhere(helper, REFUND)
    assert not may_somewhere(helper, "refunds.approve_refund")
    assert accounts_where(helper, REFUND) == {ours.pk}


def test_a_group_counts_for_every_account_also_a_new_one(helper, ours):
    assert accounts_where(helper, VIEW) is None
    assert helper.has_perm(VIEW)
    assert helper.has_perm(VIEW, ours)
    assert helper.has_perm(VIEW, make_account())


def test_what_belongs_to_an_account_is_asked_about_by_it(helper, ours, theirs):
    assert helper.has_perm(REFUND, make_transaction(ours))
    assert not helper.has_perm(REFUND, make_transaction(theirs))
    with pytest.raises(TypeError, match="belongs to no account"):
        helper.has_perm(REFUND, helper)


def test_rows_within_reach(helper, ours, theirs):
    payment, other = make_transaction(ours), make_transaction(theirs)
    rows = Transaction.objects.order_by("pk")
    assert list(within(rows, helper, REFUND)) == [payment]
    assert list(within(rows, helper, VIEW)) == [payment, other]
    assert list(within(rows, helper, "refunds.approve_refund")) == []


def test_who_is_switched_off_or_nobody_may_nothing(helper, ours):
    helper.is_active = False
    for person in (helper, AnonymousUser()):
        assert not person.has_perm(REFUND, ours)
        assert not may_somewhere(person, REFUND)
        assert accounts_where(person, REFUND) == frozenset()


def test_a_superuser_may_everything_everywhere(ours):
    chief = make_person("viewer", is_superuser=True)
    assert chief.has_perm(REFUND, ours)
    assert may_somewhere(chief, REFUND)
    assert accounts_where(chief, REFUND) is None


def test_rights_are_read_in_one_query(helper, ours, theirs):
    person = User.objects.get(pk=helper.pk)
    with CaptureQueriesContext(connection) as queries:
        for about in (None, ours, theirs):
            person.has_perm(REFUND, about)
        within(Transaction.objects.all(), person, VIEW)
        may_somewhere(person, VIEW)
    assert len(queries) == 1


def test_who_has_a_right_for_an_account(helper, ours, theirs):
    chief = make_person("viewer", is_superuser=True)
    agent = make_person("agent")
    make_person("agent", is_active=False)
    who = User.objects.with_perm
    assert set(who(REFUND, obj=ours)) == {helper, agent, chief}
    assert set(who(REFUND, obj=theirs)) == {agent, chief}
    assert set(who(REFUND)) == {agent, chief}
    assert set(who(REFUND, include_superusers=False)) == {agent}
    assert len(who(REFUND, is_active=None)) == 3
