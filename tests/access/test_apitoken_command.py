import pytest
from django.core.management import CommandError, call_command

from access.models import ApiToken, Scope
from tests.audit.lines import told
from tests.rest import client_with, make_account, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(capsys):
    def run(*arguments):
        call_command("apitoken", *arguments)
        return capsys.readouterr().out

    return run


def test_create_prints_the_key_and_nothing_else(run):
    person = make_person("viewer")
    key = run("create", "shop", "--user", person.username).strip()
    assert client_with(key).get("/api/v1/transactions/").status_code == 200
    token = ApiToken.objects.get(name="shop")
    assert token.scopes == Scope.values
    assert list(token.accounts.all()) == []


def test_create_narrows_to_scopes_and_accounts(run):
    account = make_account()
    arguments = ["--scope", "read", "--scope", "notes", "--account", account.slug]
    run("create", "shop", "--user", make_person("agent").username, *arguments)
    token = ApiToken.objects.get(name="shop")
    assert token.scopes == ["read", "notes"]
    assert list(token.accounts.all()) == [account]
    run("revoke", "shop")
    run("revoke", "shop")
    facts = {"user": token.user.username, "scopes": ["read", "notes"], "accounts": [account.slug]}
    assert told() == [("token.made", "", "shop", facts), ("token.revoked", "", "shop", facts)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "new", "--user", "nobody"], "There is no user nobody."),
        (["create", "new", "--user", "{outsider}"], "may not use the staff site"),
        (["create", "new", "--user", "{left}"], "may not use the staff site"),
        (["create", "taken", "--user", "{person}"], "There is a token taken already."),
        (["create", " ", "--user", "{person}"], "1 to 100 characters"),
        (["create", "n" * 101, "--user", "{person}"], "1 to 100 characters"),
        (["create", "new", "--user", "{person}", "--scope", "all"], "invalid choice: 'all'"),
        (["create", "new", "--user", "{person}", "--account", "x"], "There is no account x."),
        (["revoke", "new"], "There is no token new."),
    ],
)
def test_a_mistake_is_one_sentence_and_creates_nothing(run, arguments, sentence):
    person = make_person("agent")
    run("create", "taken", "--user", person.username)
    names = {
        "person": person.username,
        "outsider": make_person("viewer", is_staff=False).username,
        "left": make_person("viewer", is_active=False).username,
    }
    with pytest.raises(CommandError, match=sentence):
        run(*(argument.format(**names) for argument in arguments))
    assert ApiToken.objects.get().name == "taken"


def test_list_shows_everything_but_the_key(run):
    assert "no tokens yet" in run("list")
    person = make_person("agent")
    account = make_account()
    key = run("create", "shop", "--user", person.username, "--account", account.slug).strip()
    client_with(key).get("/api/v1/transactions/")
    run("create", "crm", "--user", person.username, "--scope", "read")
    run("revoke", "crm")
    crm, shop = run("list").splitlines()
    assert crm.startswith(f"crm  {person.username} · read · all accounts · never used · revoked ")
    assert account.slug in shop
    assert "last used" in shop
    assert key not in shop


def test_revoke_is_for_good_and_may_be_repeated(run):
    key = run("create", "shop", "--user", make_person("viewer").username).strip()
    assert run("revoke", "shop") == "Token shop is revoked.\n"
    moment = ApiToken.objects.get().revoked_at
    run("revoke", "shop")
    assert ApiToken.objects.get().revoked_at == moment
    assert client_with(key).get("/api/v1/transactions/").status_code == 401
