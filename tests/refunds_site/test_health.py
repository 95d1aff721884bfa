import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from refunds_site import embedded


@pytest.fixture
def closed_port():
    return embedded.free_port()


def test_healthz_says_that_the_process_is_up_without_a_look_at_the_database(client):
    # No database mark: a query would fail this test.
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"process": "ok"}


@pytest.mark.django_db
def test_readyz_says_that_all_parts_are_in_order(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"database": "ok", "broker": "ok", "migrations": "ok"}
    assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_readyz_notices_a_broker_that_is_gone(client, closed_port):
    with override_settings(REDIS_URL=f"redis://:hidden@127.0.0.1:{closed_port}/0"):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "broker": "down", "migrations": "ok"}
    assert b"hidden" not in response.content


def test_readyz_notices_a_database_that_is_gone(client, closed_port, django_db_blocker):
    port = connection.settings_dict["PORT"]
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict["PORT"] = str(closed_port)
        try:
            response = client.get("/readyz")
        finally:
            connection.close()
            connection.settings_dict["PORT"] = port
    assert response.status_code == 503
    assert response.json() == {"database": "down", "broker": "ok", "migrations": "unknown"}
    assert settings.DATABASES["default"]["PASSWORD"].encode() not in response.content


@pytest.mark.django_db
def test_readyz_notices_a_migration_that_was_not_applied(client):
    MigrationRecorder.Migration.objects.filter(app="refunds").latest("id").delete()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "broker": "ok", "migrations": "pending"}


@pytest.mark.django_db
def test_readyz_tells_an_empty_database_from_one_that_is_gone(client):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME COLUMN app TO other")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "broker": "ok", "migrations": "unknown"}


@pytest.mark.parametrize("address", ["/healthz", "/readyz"])
@pytest.mark.django_db
def test_probes_may_speak_plain_http_and_name_any_host(client, address):
    with override_settings(ALLOWED_HOSTS=["desk.example.com"], SECURE_SSL_REDIRECT=True):
        assert client.get(address, HTTP_HOST="10.1.2.3:8000").status_code == 200
        assert client.head(address, HTTP_HOST="10.1.2.3:8000").status_code == 200


@pytest.mark.parametrize("address", ["/healthz", "/readyz"])
def test_probes_are_read_only(client, address):
    assert client.post(address).status_code == 405


def test_the_front_door_leads_to_the_transactions(client):
    response = client.get("/")
    assert response.status_code == 302
    assert response["Location"] == "/admin/transactions/transaction/"
