import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from access.models import ApiToken
from access.roles import PERMISSIONS, Role
from tests.audit.lines import told
from tests.rest import make_account, make_person, make_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign_in(client):
    def sign_in(role, **fields):
        person = make_person(role, **fields)
        client.force_login(person)
        client.person = person
        return client

    return sign_in


# The roles for single accounts, none of them changed.
ROLES = {"account_roles-TOTAL_FORMS": "0", "account_roles-INITIAL_FORMS": "0"}


def change(model, row):
    return reverse(f"admin:{model}_change", args=[row.pk])


def test_an_administrator_adds_a_person_and_gives_a_role(sign_in):
    client = sign_in("admin")
    form = {"username": "ana", "password1": "correct horse 9", "password2": "correct horse 9"}
    assert (
        client.post("/admin/auth/user/add/", form | {"usable_password": "true"}).status_code == 302
    )
    ana = User.objects.get(username="ana")
    assert ana.is_staff  # or she could not sign in
    agents = Group.objects.get(name="agent")
    form = {"username": "ana", "is_active": "on", "is_staff": "on", "groups": [agents.pk]}
    form |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"} | ROLES
    assert client.post(change("auth_user", ana), form).status_code == 302
    ana = User.objects.get(pk=ana.pk)
    assert ana.has_perm("refunds.request_refund")


def test_rights_come_from_groups_alone(sign_in):
    client = sign_in("admin")
    page = client.get(change("auth_user", client.person)).content.decode()
    assert 'name="groups"' in page
    assert "user_permissions" not in page


def test_nobody_but_a_superuser_makes_superusers(sign_in):
    client = sign_in("admin")
    for person in (client.person, make_person("agent")):
        form = {"username": person.username, "is_active": "on", "is_staff": "on"}
        form |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"} | ROLES
        form["groups"] = [group.pk for group in person.groups.all()]
        saved = client.post(change("auth_user", person), form | {"is_superuser": "on"})
        assert saved.status_code == 302
        person.refresh_from_db()
        assert not person.is_superuser


def test_nobody_but_a_superuser_changes_superusers(sign_in):
    chief = make_person("admin", is_superuser=True)
    client = sign_in("admin")
    assert client.post(change("auth_user", chief), {"username": "mine"}).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[chief.pk])
    assert client.post(password, {"password1": "x", "password2": "x"}).status_code == 403
    other = sign_in("admin", is_superuser=True)
    assert other.get(change("auth_user", chief)).status_code == 200


def test_people_are_not_deleted(sign_in):
    person = make_person("agent")
    client = sign_in("admin", is_superuser=True)
    address = reverse("admin:auth_user_delete", args=[person.pk])
    assert client.post(address, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("role", ["viewer", "agent", "approver", "manager"])
def test_others_do_not_see_people_groups_and_tokens(sign_in, role):
    client = sign_in(role)
    for address in ("auth/user/", "auth/group/", "access/apitoken/"):
        assert client.get(f"/admin/{address}").status_code == 403


def test_the_shipped_roles_cannot_be_edited(sign_in):
    client = sign_in("admin", is_superuser=True)
    agents = Group.objects.get(name="agent")
    assert client.get(change("auth_group", agents)).status_code == 200
    form = {"name": "agent", "permissions": []}
    assert client.post(change("auth_group", agents), form).status_code == 403
    delete = reverse("admin:auth_group_delete", args=[agents.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    client.post(
        "/admin/auth/group/",
        {"action": "delete_selected", "_selected_action": [agents.pk], "post": "yes"},
    )
    assert agents.permissions.count() == len(PERMISSIONS[Role.AGENT])


def test_a_group_of_ones_own_can_be_made_changed_and_deleted(sign_in):
    client = sign_in("admin")
    client.post("/admin/auth/group/add/", {"name": "night shift"})
    group = Group.objects.get(name="night shift")
    client.post(change("auth_group", group), {"name": "day shift"})
    assert Group.objects.get(pk=group.pk).name == "day shift"
    client.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
    assert not Group.objects.filter(pk=group.pk).exists()


def test_tokens_are_listed_without_their_hash_and_revoked(sign_in, django_assert_max_num_queries):
    client = sign_in("admin")
    account = make_account("stripe-main")
    limited, _key = make_token(make_person("agent"), scopes=["read"], accounts=[account])
    other, _key = make_token(make_person("agent"))
    page = client.get("/admin/access/apitoken/").content.decode()
    assert limited.name in page
    assert "stripe-main" in page
    assert limited.digest not in page
    shown = client.get(change("access_apitoken", limited)).content.decode()
    assert limited.digest not in shown
    client.post("/admin/access/apitoken/", {"action": "revoke", "_selected_action": [limited.pk]})
    limited.refresh_from_db()
    assert limited.revoked_at
    moment = limited.revoked_at
    client.post("/admin/access/apitoken/", {"action": "revoke", "_selected_action": [limited.pk]})
    limited.refresh_from_db()
    assert limited.revoked_at == moment
    other.refresh_from_db()
    assert other.revoked_at is None


def test_tokens_are_neither_made_nor_changed_nor_deleted_here(sign_in):
    client = sign_in("admin", is_superuser=True)
    token, _key = make_token(make_person("agent"), scopes=["read"])
    assert client.get("/admin/access/apitoken/add/").status_code == 403
    assert client.post(change("access_apitoken", token), {"scopes": "[]"}).status_code == 403
    delete = reverse("admin:access_apitoken_delete", args=[token.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert ApiToken.objects.get().scopes == ["read"]


def test_the_audit_log_tells_of_rights_given_and_taken(sign_in):
    client = sign_in("admin")
    ana, ours = make_person("agent"), make_account("ours")
    agents, viewers = Group.objects.get(name="agent"), Group.objects.get(name="viewer")
    form = {"username": ana.username, "first_name": "Ana", "is_staff": "on", "groups": [viewers.pk]}
    form |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"} | ROLES
    form |= {
        "account_roles-TOTAL_FORMS": "1", "account_roles-0-user": ana.pk,
        "account_roles-0-role": agents.pk, "account_roles-0-account": ours.pk,
    }  # fmt: skip
    assert client.post(change("auth_user", ana), form).status_code == 302
    assert told() == [
        (
            "person.changed", client.person.username, ana.username,
            {"changed": {"first_name": ["", "Ana"]}},
        ),
        (
            "person.rights_changed", client.person.username, ana.username,
            {"changed": {
                "groups": [["agent"], ["viewer"]], "is_active": [True, False],
                "account_roles": [[], ["agent (ours)"]],
            }},
        ),
    ]  # fmt: skip


def test_the_audit_log_tells_of_people_that_are_added(sign_in):
    form = {"username": "ana", "password1": "correct horse 9", "password2": "correct horse 9"}
    sign_in("admin").post("/admin/auth/user/add/", form | {"usable_password": "true"})
    [(kind, _by, name, data)] = told()
    assert (kind, name, data["is_staff"], data["groups"]) == ("person.added", "ana", True, [])


def test_the_audit_log_tells_of_groups(sign_in):
    client = sign_in("admin")
    may = Permission.objects.get(codename="request_refund")
    assert client.post("/admin/auth/group/add/", {"name": "own"}).status_code == 302
    own = Group.objects.get(name="own")
    form = {"name": "ours", "permissions": [may.pk]}
    assert client.post(change("auth_group", own), form).status_code == 302
    tom = make_person("ours")
    page = reverse("admin:auth_group_delete", args=[own.pk])
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert [(kind, name, data) for kind, _by, name, data in told()] == [
        ("group.added", "own", {"name": "own", "permissions": []}),
        (
            "group.changed", "ours",
            {"changed": {"name": ["own", "ours"], "permissions": [[], ["refunds.request_refund"]]}},
        ),
        (
            "group.deleted", "ours",
            {"permissions": ["refunds.request_refund"], "people": [tom.username]},
        ),
    ]  # fmt: skip


def test_the_audit_log_tells_of_tokens_that_are_revoked(sign_in):
    client = sign_in("admin")
    ana = make_person("agent")
    token, _key = make_token(ana, scopes=["read"])
    form = {"action": "revoke", "_selected_action": [token.pk]}
    for _press in range(2):
        assert client.post(reverse("admin:access_apitoken_changelist"), form).status_code == 302
    facts = {"user": ana.username, "scopes": ["read"], "accounts": []}
    assert told() == [("token.revoked", client.person.username, token.name, facts)]
