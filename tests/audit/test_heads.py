"""The heads of the chains, noted where the database's owner does not write."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from audit.chains import ENTRIES, Head
from audit.heads import UnreadableHeads, note_heads, read_heads
from audit.kinds import Kind
from audit.log import record

pytestmark = pytest.mark.django_db


def test_heads_are_lines_of_the_log_and_of_the_file(tmp_path):
    path = tmp_path / "heads"
    noted = []
    for _hour in range(2):
        record(Kind.SIGNED_IN, actor=None)
        with capture_logs() as lines:
            note_heads([ENTRIES], path)
        [line] = lines
        noted.append(Head(line["chain"], line["sequence"], line["hash"], line["at"]))
        assert (line["event"], line["chain"], line["sequence"]) == (
            "audit_head", "entries", len(noted),
        )  # fmt: skip
    assert list(read_heads(path)) == noted
    assert path.stat().st_mode & 0o777 == 0o640


def test_without_a_file_the_log_alone_has_them():
    with capture_logs() as lines:
        note_heads([ENTRIES], None)
    assert [(line["sequence"], line["hash"]) for line in lines] == [(0, "0" * 64)]


def test_lines_of_the_log_are_read_as_well(tmp_path):
    path = tmp_path / "log"
    head = {"chain": "entries", "sequence": 7, "hash": "f" * 64, "at": "2026-01-01"}
    path.write_text(json.dumps(head | {"event": "audit_head", "level": "info"}) + "\n\n")
    assert list(read_heads(path)) == [Head(**head)]


@pytest.mark.parametrize("line", ["", "no", "7", "null", "[]", '{"chain": "entries"}', "\x00"])
def test_what_is_no_head_is_named_by_its_line(tmp_path, line):
    path = tmp_path / "heads"
    path.write_text(f"\n{line or '{}'}\n")
    with pytest.raises(UnreadableHeads, match=r"^Line 2 of"):
        list(read_heads(path))
