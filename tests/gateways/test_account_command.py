import io

import pytest
from django.core.management import CommandError, call_command

from gateways.credentials import credentials_of
from gateways.models import ProcessorAccount
from refunds_site.embedded import free_port

pytestmark = pytest.mark.django_db

KEY = "sk_test_a_long_secret_9876"
STRIPE = ("add", "main", "--processor", "stripe", "--mode", "test")


@pytest.fixture
def run(capsys, monkeypatch):
    """Run ``manage.py account``; what it printed, where no secret may be."""

    def run(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        call_command("account", *arguments)
        told = capsys.readouterr()
        assert KEY not in told.out + told.err
        return told.out

    return run


@pytest.fixture
def fail(run, capsys):
    """Run it and expect a mistake: the sentence."""

    def fail(*arguments, typed=""):
        with pytest.raises(CommandError) as caught:
            run(*arguments, typed=typed)
        sentence = str(caught.value)
        assert KEY not in sentence
        assert "\n" not in sentence
        return sentence

    return fail


def stored():
    return credentials_of(ProcessorAccount.objects.get(slug="main"))


def test_add_and_change(run):
    assert "is added" in run(*STRIPE, "--credential", f"api_key={KEY}")
    account = ProcessorAccount.objects.get()
    assert (account.slug, account.processor, account.mode) == ("main", "stripe", "test")
    assert account.base_url == account.currency == ""
    address = "http://127.0.0.1:8100/stripe"
    assert "is changed" in run(*STRIPE, "--base-url", address, "--currency", "EUR")
    account.refresh_from_db()
    assert (account.base_url, account.currency) == (address, "EUR")
    assert stored() == {"api_key": KEY}
    run(*STRIPE, "--base-url", "")
    account.refresh_from_db()
    assert account.base_url == ""


def test_credentials_that_are_not_named_stay(run):
    run(*STRIPE, "--credential", f"api_key={KEY}", "--credential", "webhook_secret=whsec_a=b")
    run(*STRIPE, "--credential", "webhook_secret=whsec_c")
    assert stored() == {"api_key": KEY, "webhook_secret": "whsec_c"}


def test_secrets_come_from_standard_input_line_by_line(run):
    options = ("--credential", "api_key=-", "--credential", "webhook_secret=-")
    run(*STRIPE, *options, typed=f"{KEY}\r\nwhsec_typed\n")
    assert stored() == {"api_key": KEY, "webhook_secret": "whsec_typed"}


def test_at_a_terminal_a_secret_is_typed_unseen(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    prompts = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: prompts.append(prompt) or KEY)
    monkeypatch.setattr("io.StringIO", Terminal)
    run(*STRIPE, "--credential", "api_key=-")
    assert prompts == ["api_key: "]
    assert stored() == {"api_key": KEY}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "lacks api_key. Set it with: manage.py account add main"),
        (("--credential", f"apikey={KEY}"), "Its credentials are: api_key, webhook_secret."),
        (("--credential", KEY), "Write --credential NAME=VALUE, with NAME one of: api_key"),
        (("--credential", "api_key="), "The value of api_key is empty."),
        (("--credential", "api_key=-"), "The value of api_key is empty."),
        (("--credential", f"api_key={KEY}", "--credential", "api_key=x"), "is given twice."),
        (("--credential", "api_key=sk_live_x"), "must begin with sk_test_"),
        (("--credential", f"api_key={KEY}", "--base-url", "https://evil.example.com"),
         "may not be used"),
        (("--credential", f"api_key={KEY}", "--base-url", "nonsense"), "base_url: "),
        (("--credential", f"api_key={KEY}", "--currency", "euro"), "currency: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_adds_nothing(fail, arguments, sentence):
    assert sentence in fail(*STRIPE, *arguments)
    assert not ProcessorAccount.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "main", "--mode", "test"),
        ("add", "main", "--processor", "square", "--mode", "test"),
        ("add", "main", "--processor", "stripe", "--mode", "production"),
        ("add",),
        ("remove", "main"),
        (),
    ],
)
def test_what_is_no_call_of_it_is_explained(fail, arguments):
    assert fail(*arguments).startswith("Error: ")


def test_a_name_with_a_space_is_refused(fail):
    options = ("--processor", "stripe", "--mode", "test", "--credential", f"api_key={KEY}")
    assert "slug: " in fail("add", "my account", *options)


def test_an_account_never_moves_to_another_processor_or_mode(run, fail):
    run(*STRIPE, "--credential", f"api_key={KEY}")
    assert "another name" in fail("add", "main", "--processor", "nmi", "--mode", "test")
    assert "another name" in fail("add", "main", "--processor", "stripe", "--mode", "live")


def test_list_shows_the_ends_of_secrets(run, settings):
    assert "no accounts yet" in run("list")
    run(*STRIPE, "--credential", f"api_key={KEY}", "--currency", "EUR")
    assert run("list") == "main  Stripe · test · EUR · api_key …9876\n"
    ProcessorAccount.objects.update(paused_reason="It was revoked.", is_active=False)
    assert run("list").endswith("switched off · paused: It was revoked.\n")
    settings.CREDENTIALS_KEYS = ["another key altogether"]
    assert "cannot be decrypted" in run("list")


@pytest.mark.django_db(transaction=True)
def test_check_tells_whose_the_credentials_are(run, fail, sandbox):
    options = ("--base-url", f"{sandbox.url}/stripe")
    run(*STRIPE, *options, "--credential", "api_key=sk_test_sandbox_main")
    assert run("check", "main").startswith("Stripe accepts the key")
    run(*STRIPE, "--credential", f"api_key={KEY}")
    assert "did not accept our key" in fail("check", "main")
    assert ProcessorAccount.objects.get().paused_reason
    run(*STRIPE, "--base-url", f"http://127.0.0.1:{free_port()}/stripe")
    assert "could not be reached" in fail("check", "main")
    assert fail("check", "other") == "There is no account other. Known are: main."


def test_check_without_any_account(fail):
    assert fail("check", "main") == "There is no account main. Known are: none yet."
