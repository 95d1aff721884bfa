import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User

from access.demo import create_people
from access.models import ApiToken
from access.roles import Role
from tests.rest import client_with

pytestmark = pytest.mark.django_db


def test_there_is_one_person_for_each_role_who_can_sign_in_and_call_the_api():
    people = create_people()
    assert list(people) == ["viewer", "agent", "approver", "manager", "admin", "auditor"]
    for role, login in people.items():
        person = authenticate(username=login["username"], password=login["password"])
        assert person.is_staff
        assert not person.is_superuser
        assert [group.name for group in person.groups.all()] == [role]
        assert client_with(login["api_token"]).get("/api/v1/transactions/").status_code == 200


def test_called_again_it_keeps_the_people_and_renews_passwords_and_tokens():
    first, second = create_people(), create_people()
    assert User.objects.count() == ApiToken.objects.count() == len(Role)
    old, new = first["agent"], second["agent"]
    assert authenticate(username="agent", password=old["password"]) is None
    assert authenticate(username="agent", password=new["password"])
    assert client_with(old["api_token"]).get("/api/v1/transactions/").status_code == 401
    assert client_with(new["api_token"]).get("/api/v1/transactions/").status_code == 200
