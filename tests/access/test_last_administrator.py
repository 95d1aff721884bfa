"""Somebody who may change people stays, whatever is switched off, taken or deleted."""

from __future__ import annotations

from threading import Event

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from access import forms
from access.models import AccountRole
from tests.audit.lines import told
from tests.audit.test_locks import both, somebody_waits
from tests.pages import client_of, visible
from tests.rest import make_account, make_person
from tests.waiting import wait_until

REFUSAL = "Nobody would be left who may change people. Give somebody else that right first."
RIGHT = {"content_type__app_label": "auth", "codename": "change_user"}

pytestmark = pytest.mark.django_db


def page_of(row):
    return reverse(f"admin:auth_{row._meta.model_name}_change", args=[row.pk])


def typed(person, **fields):
    """The form of a person as it stands, but for ``fields``; None for a box that is not ticked."""
    form = {
        "username": person.username, "is_active": "on", "is_staff": "on",
        "groups": [group.pk for group in person.groups.all()],
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
        "account_roles-TOTAL_FORMS": "0", "account_roles-INITIAL_FORMS": "0",
    }  # fmt: skip
    if person.is_superuser:
        form["is_superuser"] = "on"
    return {name: value for name, value in (form | fields).items() if value is not None}


def make_group(*people):
    group = Group.objects.create(name="keepers")
    group.permissions.add(Permission.objects.get(**RIGHT))
    for person in people:
        person.groups.add(group)
    return group


@pytest.fixture
def admin():
    return make_person("admin")


@pytest.mark.parametrize("fields", [{"is_active": None}, {"is_staff": None}, {"groups": []}])
def test_the_last_one_does_not_lock_everybody_out(admin, fields):
    make_person("admin", is_active=False)
    make_person("admin", is_staff=False)
    helper = make_person("viewer")
    AccountRole.objects.create(
        user=helper, role=Group.objects.get(name="admin"), account=make_account()
    )
    answer = client_of(admin).post(page_of(admin), typed(admin, first_name="Ana", **fields))
    assert answer.status_code == 200
    assert REFUSAL in visible(answer)
    kept = User.objects.get(pk=admin.pk)
    assert (kept.is_active, kept.is_staff, kept.first_name) == (True, True, "")
    assert kept.has_perm("auth.change_user")
    assert told() == []


@pytest.mark.parametrize("fields", [{"is_active": None}, {"is_superuser": None}])
def test_nor_does_the_last_superuser(fields):
    root = User.objects.create_superuser("root")
    answer = client_of(root).post(page_of(root), typed(root, **fields))
    assert REFUSAL in visible(answer)
    assert User.objects.filter(is_active=True, is_superuser=True).exists()


def other_superuser():
    User.objects.create_superuser("root")


def other_of_the_role():
    make_person("admin")


def other_of_a_group():
    make_group(make_person("viewer"))


def other_of_their_own():
    make_person("viewer").user_permissions.add(Permission.objects.get(**RIGHT))


@pytest.mark.parametrize(
    "other", [other_superuser, other_of_the_role, other_of_a_group, other_of_their_own]
)
def test_while_somebody_else_may_it_is_done(admin, other):
    other()
    answer = client_of(admin).post(page_of(admin), typed(admin, is_active=None))
    assert answer.status_code == 302
    assert not User.objects.get(pk=admin.pk).is_active


def test_what_leaves_the_right_is_done(admin):
    group = make_group()
    answer = client_of(admin).post(page_of(admin), typed(admin, groups=[group.pk]))
    assert answer.status_code == 302
    assert User.objects.get(pk=admin.pk).has_perm("auth.change_user")


def test_others_are_switched_off(admin):
    agent = make_person("agent")
    answer = client_of(admin).post(page_of(agent), typed(agent, is_active=None))
    assert answer.status_code == 302


def test_the_group_that_lets_the_last_one_keeps_the_right(admin):
    group = make_group(admin)
    group.permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    browser = client_of(admin)
    admin.groups.set([group])
    form = {"name": "renamed"}
    answer = browser.post(page_of(group), form)
    assert REFUSAL in visible(answer)
    answer = browser.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
    assert answer.status_code == 403
    assert REFUSAL in visible(answer)
    several = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
    assert REFUSAL in visible(browser.post("/admin/auth/group/", several))
    group.refresh_from_db()
    assert (group.name, group.permissions.filter(**RIGHT).exists()) == ("keepers", True)
    assert not [kind for kind, *_more in told() if kind.startswith("group")]


def test_another_group_goes(admin):
    group = make_group()
    answer = client_of(admin).post(page_of(group), {"name": "renamed"})
    assert answer.status_code == 302
    answer = client_of(admin).post(
        reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"}
    )
    assert answer.status_code == 302
    assert not Group.objects.filter(pk=group.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_do_it_to_each_other_at_once_one_stays(monkeypatch):
    first, second = make_person("admin"), make_person("admin")
    browsers = client_of(first), client_of(second)
    looked, ensure = Event(), forms.ensure_other_than

    def ensure_and_wait(person):
        ensure(person)
        if not looked.is_set():
            looked.set()
            wait_until(somebody_waits)

    monkeypatch.setattr(forms, "ensure_other_than", ensure_and_wait)
    answers = {}

    def press(browser, person):
        answers[person] = browser.post(page_of(person), typed(person, is_active=None))

    def press_then():
        looked.wait(5)
        press(browsers[1], first)

    both(lambda: press(browsers[0], second), press_then)
    assert answers[second].status_code == 302
    assert REFUSAL in visible(answers[first])
    assert [each.pk for each in User.objects.filter(is_active=True)] == [first.pk]
