"""Views under a name: kept, shared, shown in the sidebar with their numbers, and deleted."""

import pytest

from audit.models import AuditEntry
from tests.audit.lines import told
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_transaction
from transactions.models import SavedView
from transactions.saved_views import MOST, NotSaved, canonical, save

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def agent():
    return make_person("agent")


@pytest.fixture
def manager():
    return make_person("manager")


@pytest.fixture
def browser(agent):
    return client_of(agent)


def keep(client, query, **values):
    return client.post(f"{LIST}views/save/?{query}", {"name": "Big ones"} | values, headers=HTMX)


def test_an_address_is_always_written_the_same():
    known = {"q", "status", "currency"}
    asked = {"status": "settled", "q": " ana ", "currency": "", "p": "older.1.1", "no": "1"}
    assert canonical(asked, known) == "q=ana&status=settled"
    assert canonical({"p": "older.1.1"}, known) == ""


@pytest.mark.parametrize("query", ["q=4242424242424242", "q=4242+4242%204242-4242"])
def test_a_search_for_a_card_number_is_not_kept(agent, query):
    with pytest.raises(NotSaved, match="card number"):
        save(agent, "Hers", query, is_shared=False)
    assert not SavedView.objects.exists()


def test_what_is_filtered_for_is_kept_and_shown_again(browser, agent):
    make_transaction(amount_minor=90_000)
    address = f"{LIST}?amount_min=500&currency="
    page = browser.get(address)
    assert f"{LIST}views/save/?amount_min=500" in page.content.decode()
    dialog = browser.get(f"{LIST}views/save/?amount_min=500", headers=HTMX)
    assert "get a place in the sidebar" in visible(dialog)
    answer = keep(browser, "amount_min=500")
    assert answer.headers["HX-Redirect"] == f"{LIST}?amount_min=500"
    view = SavedView.objects.get()
    assert (view.owner, view.name, view.query) == (agent, "Big ones", "amount_min=500")
    page = browser.get(f"{LIST}?{view.query}")
    assert "The view “Big ones” is saved." in visible(page)
    assert page.context["cl"].saved_view == view
    assert "Save this view" not in visible(page)
    assert "Delete this view" in visible(page)


def test_without_htmx_it_is_a_page(browser):
    html = browser.get(f"{LIST}views/save/?q=ana").content.decode()
    assert "<html" in html
    answer = browser.post(f"{LIST}views/save/?q=ana", {"name": "Ana"})
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}?q=ana")


def test_nothing_to_keep_is_nothing_to_save(browser):
    assert "Save this view" not in visible(browser.get(LIST))
    assert "Search or filter first" in visible(keep(browser, "p=older.1.1&no_such=1"))
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "This field is required."),
        (" \u202e ", "Write a name that can be seen."),
        ("x" * 61, "at most 60 characters"),
        ("4242 4242 4242 4242", "looks like a card number"),
    ],
)
def test_a_name_that_is_none_is_refused(browser, name, sentence):
    assert sentence in visible(keep(browser, "q=ana", name=name))
    assert not SavedView.objects.exists()


def test_a_search_too_long_to_keep_is_refused(agent):
    with pytest.raises(NotSaved, match="too long"):
        save(agent, "Long", "q=" + "x" * 2000, is_shared=False)


def test_the_same_name_shows_something_else_from_then_on(browser):
    keep(browser, "q=ana")
    keep(browser, "q=ion")
    assert SavedView.objects.get().query == "q=ion"


def test_a_person_keeps_so_many(browser, agent):
    for number in range(MOST):
        save(agent, f"View {number}", "q=ana", is_shared=False)
    assert "Delete one first." in visible(keep(browser, "q=ion"))
    keep(browser, "q=ion", name="View 3")
    assert SavedView.objects.count() == MOST


def test_who_may_share_shares(browser, agent, manager):
    assert "Everybody sees it" not in visible(browser.get(f"{LIST}views/save/?q=ana"))
    keep(browser, "q=ana", is_shared="on")
    assert not SavedView.objects.get().is_shared
    boss = client_of(manager)
    assert "Everybody sees it" in visible(boss.get(f"{LIST}views/save/?q=ion"))
    keep(boss, "q=ion", name="Ours", is_shared="on")
    page = visible(browser.get(LIST))
    assert "Ours" in page
    assert "Big ones" in page
    assert "Big ones" not in visible(boss.get(LIST))
    with pytest.raises(NotSaved):
        save(agent, "Mine", "q=x", is_shared=True)


def test_what_is_shown_is_marked_once_in_the_sidebar(browser, agent):
    save(agent, "Ana", "q=ana", is_shared=False)

    def marked(address):
        groups = browser.get(address).context["sidebar_navigation"]
        items = [item for group in groups for item in group["items"]]
        return [str(item["title"]) for item in items if item["active"]]

    assert marked(f"{LIST}?q=ana") == ["Ana"]
    assert marked(f"{LIST}?q=ana&p=older.1.1") == ["Ana"]
    assert marked(f"{LIST}?q=ion") == ["All"]


def test_names_are_text_in_the_sidebar(browser):
    keep(browser, "q=ana", name="<img src=x onerror=alert(1)>")
    html = browser.get(LIST).content.decode()
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_numbers_are_counted_to_an_end(browser, agent, monkeypatch):
    monkeypatch.setattr("transactions.table._COUNTED", 3)
    account = make_account()
    for minor in (1_000, 60_000, 70_000):
        make_transaction(account, amount_minor=minor)
    big = save(agent, "Big", "amount_min=500", is_shared=False)
    every = save(agent, "Stripe", "processor=stripe", is_shared=False)
    broken = save(agent, "Broken", "processor=none&status=settled", is_shared=False)
    shown = browser.get(f"{LIST}views/numbers/").content.decode()
    for view, number in ((big, "2"), (every, "3"), (broken, "3")):
        assert f'<span id="view-number-{view.pk}" hx-swap-oob="true">{number}</span>' in shown
    make_transaction(account)
    assert "3+" in browser.get(f"{LIST}views/numbers/").content.decode()


def test_views_are_deleted_by_who_may(browser, agent, manager):
    own = save(agent, "Mine", "q=a", is_shared=False)
    hidden = save(manager, "Theirs", "q=b", is_shared=False)
    shared = save(manager, "Ours", "q=c", is_shared=True)
    assert browser.get(f"{LIST}views/{own.pk}/delete/")["Location"] == f"{LIST}?q=a"
    assert SavedView.objects.count() == 3
    assert browser.post(f"{LIST}views/{own.pk}/delete/").status_code == 302
    assert browser.post(f"{LIST}views/{hidden.pk}/delete/").status_code == 404
    assert browser.post(f"{LIST}views/{shared.pk}/delete/").status_code == 403
    assert browser.post(f"{LIST}views/999/delete/").status_code == 404
    other = client_of(make_person("manager"))
    assert other.post(f"{LIST}views/{shared.pk}/delete/", headers=HTMX).status_code == 204
    assert list(SavedView.objects.all()) == [hidden]


def test_who_may_not_look_keeps_nothing():
    person = make_person("viewer")
    person.groups.clear()
    client = client_of(person)
    assert keep(client, "q=ana").status_code == 403
    assert client.get(f"{LIST}views/numbers/").status_code == 403
    assert not SavedView.objects.exists()


def test_the_audit_log_tells_of_shared_views_alone(manager):
    client = client_of(manager)
    keep(client, "status=settled")
    assert told() == []
    keep(client, "status=settled&q=ana", is_shared="on")
    keep(client, "status=failed", is_shared="on")
    keep(client, "status=failed", is_shared="on")
    view = SavedView.objects.get()
    client.post(f"{LIST}views/{view.pk}/delete/", headers=HTMX)
    assert [(kind, by, name) for kind, by, name, _data in told()] == [
        (kind, manager.username, "")  # it may be the name of a customer
        for kind in ("view.shared", "view.changed", "view.deleted")
    ]
    about = AuditEntry.objects.filter(kind__startswith="view.").values_list(
        "about_type", "about_id"
    )
    assert set(about) == {("transactions.savedview", str(view.pk))}
    assert told()[0][3] == {"query": "q=%E2%80%A6&status=settled", "is_shared": True}
