"""The breaker of an account and its slots: on real connections, by the database's clock."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from refunds import circuits
from tests.scripts import environment_of_scripts
from tests.waiting import wait_until


def silence(account, times=circuits.SILENCES):
    for _ in range(times):
        circuits.note_silence(account.pk)


def pause(account):
    """Seconds until the next probe may go."""
    from refunds.models import CircuitBreaker

    rows = CircuitBreaker.objects.filter(pk=account.pk)
    return rows.values_list(F("retry_at") - Now(), flat=True).get().total_seconds()


def pass_time(account):
    """Let the pause be over."""
    from refunds.models import CircuitBreaker

    rows = CircuitBreaker.objects.filter(pk=account.pk)
    rows.update(retry_at=Now() - timedelta(milliseconds=1))


def together(count, do):
    """Run ``do(number)`` in as many threads at the same moment, each with its own connection."""
    barrier = Barrier(count)

    def run(number):
        try:
            connection.ensure_connection()
            barrier.wait(10)
            return do(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_an_account_without_trouble_costs_one_query_and_no_row(
    make_account, django_assert_num_queries
):
    account = make_account()
    with django_assert_num_queries(1):
        assert circuits.is_closed(account.pk)
    with django_assert_num_queries(1):
        assert not circuits.note_answer(account.pk)
    assert circuits.down_accounts() == []


def test_the_third_silence_in_a_row_opens(make_account):
    account, other = make_account(), make_account()
    silence(account, 2)
    assert circuits.is_closed(account.pk)
    silence(account, 1)
    assert not circuits.is_closed(account.pk)
    assert 29 < pause(account) <= 30
    assert circuits.down_accounts() == [account.pk]
    assert circuits.is_closed(other.pk)


def test_an_answer_between_starts_the_count_again(make_account):
    account = make_account()
    silence(account, 2)
    assert not circuits.note_answer(account.pk), "it was never down"
    silence(account, 2)
    assert circuits.is_closed(account.pk)


def test_an_answer_closes_at_once_and_is_told_once(make_account):
    account = make_account()
    silence(account)
    assert circuits.note_answer(account.pk)
    assert not circuits.note_answer(account.pk)
    assert circuits.is_closed(account.pk)
    assert circuits.down_accounts() == []


def test_probes_go_one_by_one_at_growing_distances(make_account):
    account = make_account()
    silence(account)
    for seconds in (60, 90, 120, 120):
        pass_time(account)
        assert circuits.is_closed(account.pk), "the probe"
        assert not circuits.is_closed(account.pk), "one at a time"
        assert seconds - 1 < pause(account) <= seconds
        circuits.note_silence(account.pk)


def test_silent_look_ups_do_not_put_a_probe_off(make_account):
    account = make_account()
    silence(account)
    pass_time(account)
    silence(account, 20)
    assert circuits.is_closed(account.pk)
    assert pause(account) < 61


def test_who_was_down_before_starts_small_again(make_account):
    account = make_account()
    silence(account)
    for _ in range(3):
        pass_time(account)
        circuits.is_closed(account.pk)
    circuits.note_answer(account.pk)
    silence(account)
    assert pause(account) <= 30


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_one_probe_one_opening_and_one_news(make_account):
    account = make_account()
    together(8, lambda _: circuits.note_silence(account.pk))
    assert 25 < pause(account) <= 30
    pass_time(account)
    assert sum(together(8, lambda _: circuits.is_closed(account.pk))) == 1
    assert sum(together(8, lambda _: circuits.note_answer(account.pk))) == 1


@pytest.mark.django_db(transaction=True)
def test_no_more_than_so_many_calls_at_once(make_account, settings):
    settings.PROVIDER_CONCURRENCY = 3
    account, other = make_account(), make_account()
    everybody_asked = Barrier(8)

    def call(_):
        with circuits.slot(account.pk, "submit") as taken:
            everybody_asked.wait(10)
            return taken

    assert sum(together(8, call)) == 3
    everybody_asked = Barrier(8)
    assert sum(together(8, call)) == 3, "they are free again"

    def other_kind(number):
        with circuits.slot(account.pk, ("submit", "lookup", "webhook")[number // 3]) as taken:
            everybody_asked.wait(10)
            return taken

    everybody_asked = Barrier(9)
    assert all(together(9, other_kind)), "each kind has slots of its own"
    with circuits.slot(account.pk, "submit"), circuits.slot(other.pk, "submit") as taken:
        assert taken


@pytest.mark.django_db(transaction=True)
def test_a_slot_is_free_after_an_error_and_after_a_lost_connection(make_account, settings):
    settings.PROVIDER_CONCURRENCY = 1
    account = make_account()

    def fail(_):
        with pytest.raises(ZeroDivisionError), circuits.slot(account.pk, "lookup"):
            raise ZeroDivisionError

    def lose(_):
        with circuits.slot(account.pk, "lookup") as taken:
            with connection.cursor() as cursor, pytest.raises(OperationalError):
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return taken

    together(1, fail)
    assert together(1, lose) == [True]

    def again(_):
        with circuits.slot(account.pk, "lookup") as taken:
            return taken

    assert together(1, again) == [True]


HOLD = """
import os, time
from refunds import circuits
with circuits.slot({account}, "submit") as taken:
    print(taken, flush=True)
    time.sleep(100)
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_process_frees_its_slot(make_account, settings):
    settings.PROVIDER_CONCURRENCY = 1
    account = make_account()
    script = f"import django; django.setup()\n{HOLD.format(account=account.pk)}"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment_of_scripts() | {"PROVIDER_CONCURRENCY": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"

        def is_free():
            with circuits.slot(account.pk, "submit") as taken:
                return taken

        assert not is_free()
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
        wait_until(is_free, 5)
