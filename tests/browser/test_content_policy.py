"""A browser keeps to the policy of a page: what was smuggled in does not run."""

import pytest

from tests.rest import make_person, make_transaction

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SMUGGLED = """async () => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
    const wait = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)));
    const script = document.createElement("script");
    script.textContent = "window.smuggled = 'script'";
    const image = document.createElement("img");
    image.setAttribute("onerror", "window.smuggled = 'handler'");
    image.src = "data:image/png,none";
    const frame = document.createElement("iframe");
    frame.src = "https://evil.example/";
    const style = document.createElement("style");
    style.textContent = "body { display: none }";
    const base = document.createElement("base");
    base.href = "https://evil.example/";
    const link = document.createElement("a");
    link.href = "javascript:window.smuggled = 'link'";
    document.body.append(script, image, frame, style, base, link);
    link.click();
    for (let tries = 0; tries < 100 && new Set(seen).size < 5; tries++) await wait();
    return { seen: [...new Set(seen)].sort(), smuggled: window.smuggled ?? null };
}"""


def test_code_of_others_does_not_run(live_server, chromium, open_page):
    open_page(None).goto("/admin/login/")  # nothing of ours is against the policy there
    context = chromium.new_context(base_url=live_server.url)
    page = context.new_page()
    page.goto("/admin/login/")
    found = page.evaluate(SMUGGLED)
    context.close()
    assert found["smuggled"] is None
    assert set(found["seen"]) >= {
        "script-src-elem", "script-src-attr", "frame-src", "style-src-elem", "base-uri"
    }  # fmt: skip


def test_the_description_of_the_api_works_within_its_policy(open_page):
    page = open_page(None)
    page.goto("/api/v1/docs/")
    page.get_by_role("heading", name="Refund Desk").wait_for()
    page.get_by_text("/api/v1/transactions/", exact=True).first.wait_for()


@pytest.mark.parametrize(
    "address", ["gateways/processoraccount/add", "auth/user/add", "access/apitoken"]
)
def test_pages_of_the_library_work_within_theirs(open_page, address):
    page = open_page(make_person("admin", is_superuser=True))
    make_transaction()
    page.goto(f"/admin/{address}/")
    page.locator("#content").first.wait_for()


def test_a_choice_of_the_library_still_shows_what_belongs_to_it(open_page):
    """Alpine.js evaluates: the credentials of the chosen processor appear."""
    page = open_page(make_person("admin"))
    page.goto("/admin/gateways/processoraccount/add/")
    page.locator("#id_processor").select_option("nmi")
    page.locator("#id_nmi_security_key").wait_for(state="visible")
    page.locator("#id_stripe_api_key").wait_for(state="hidden")
