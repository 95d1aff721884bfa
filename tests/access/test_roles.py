import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from access.roles import PERMISSIONS, Role, create_roles
from tests.rest import make_person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", list(Role))
def test_a_role_holds_exactly_what_the_table_says(role):
    held = Group.objects.get(name=role).permissions.select_related("content_type")
    names = {f"{one.content_type.app_label}.{one.codename}" for one in held}
    assert names == PERMISSIONS[role]


def test_each_role_has_what_the_one_below_has():
    for less, more in [
        (Role.VIEWER, Role.AGENT),
        (Role.VIEWER, Role.APPROVER),
        (Role.AGENT, Role.MANAGER),
        (Role.APPROVER, Role.MANAGER),
        (Role.MANAGER, Role.ADMIN),
        (Role.VIEWER, Role.AUDITOR),
        (Role.AUDITOR, Role.ADMIN),
    ]:
        assert PERMISSIONS[less] < PERMISSIONS[more]


def test_only_those_who_should_may_refund_and_approve():
    may = {role: set() for role in ("refunds.request_refund", "refunds.approve_refund")}
    for role in Role:
        person = User.objects.get(pk=make_person(role).pk)
        for permission, roles in may.items():
            if person.has_perm(permission):
                roles.add(role)
    assert may == {
        "refunds.request_refund": {Role.AGENT, Role.MANAGER, Role.ADMIN},
        "refunds.approve_refund": {Role.APPROVER, Role.MANAGER, Role.ADMIN},
    }


def test_migrating_again_repairs_a_role_and_leaves_other_groups_alone():
    viewer, own = Group.objects.get(name="viewer"), Group.objects.create(name="our own")
    request = Permission.objects.get(codename="request_refund")
    viewer.permissions.set([request])
    own.permissions.set([request])
    for app in apps.get_app_configs():
        create_roles(app)
    assert not viewer.permissions.filter(pk=request.pk).exists()
    assert viewer.permissions.count() == len(PERMISSIONS[Role.VIEWER])
    assert own.permissions.get() == request
