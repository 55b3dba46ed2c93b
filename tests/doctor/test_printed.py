"""Does everything that was found come out, whole in a file and folded on a terminal?"""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from lightning_cv.doctor.finding import Finding, Status, count, numbers, size, worst
from lightning_cv.doctor.printed import as_json, print_findings, summary
from lightning_cv.doctor.rank_report import RankReport, Transfer

LONG = "a very long text " * 20
FINDINGS = [
    Finding("torch", Status.OK, "2.15"),
    Finding("shared memory", Status.WARNING, LONG.strip(), "docker run --shm-size=8g"),
]
REPORT = RankReport(backend="gloo", num_ranks=4, transfers=(Transfer(1 << 20, 0.001, 4),))


def printed(findings, report=None, **console) -> str:
    out = io.StringIO()
    print_findings(Console(file=out, highlight=False, **console), findings, report)
    return out.getvalue()


def test_in_a_file_each_text_is_one_line():
    assert printed(FINDINGS, width=80).splitlines() == [
        "ok       torch          2.15",
        f"warning  shared memory  {LONG.strip()}",
        "                        mend: docker run --shm-size=8g",
        "nothing is broken, 1 warning",
    ]


def test_on_a_terminal_lines_are_folded_within_its_width_and_nothing_is_lost():
    text = printed(FINDINGS, width=80, force_terminal=True, color_system=None)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines[1:-2]).split()) == f"warning shared memory {LONG.strip()}"


def test_the_transfers_are_a_table():
    """By hand: 1 MiB in 1 ms is 1.05 GB/s, times 2 · 3 / 4."""
    lines = printed(FINDINGS[:1], REPORT, width=200).splitlines()
    assert lines[2] == "all-reduce over 4 ranks; bus bandwidth = size / time · 2(n-1)/n, n ranks"
    assert lines[4].split() == ["1", "MiB", "1.000", "ms", "1.05", "GB/s", "1.57", "GB/s"]
    assert lines[-1] == "nothing is broken"


def test_json_has_everything():
    data = json.loads(as_json(FINDINGS, REPORT, [{"host": "a", "has": {"torch": "2.15"}, "findings": []}]))
    assert data["status"] == "warning"
    assert data["checks"] == [finding.data() for finding in FINDINGS]
    assert data["ranks"]["transfers"][0]["bus_bandwidth"] == pytest.approx(1.5 * (1 << 20) / 0.001)
    assert data["machines"] == [{"host": "a", "torch": "2.15"}]
    assert json.loads(as_json([], None)) == {"status": "ok", "checks": []}


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (["ok", "note"], "nothing is broken"),
        (["warning", "warning", "note"], "nothing is broken, 2 warnings"),
        (["broken", "warning", "ok"], "1 broken, 1 warning"),
    ],
)
def test_the_last_line_counts(statuses, said):
    assert summary([Finding("x", Status(status), "") for status in statuses]) == said


def test_the_worst_status_is_the_last_of_ok_note_warning_broken():
    order = ["ok", "note", "warning", "broken"]
    for index, status in enumerate(order):
        assert worst(Finding("x", Status(each), "") for each in order[: index + 1]) == status
    assert worst([]) is Status.OK


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (64 << 20, "64 MiB"),
        (3 << 29, "1.5 GiB"),
        (100 << 30, "100 GiB"),
        (5 << 40, "5 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(number, text):
    assert size(number) == text


def test_numbers_are_ranges_and_counts_have_their_plural():
    assert numbers([7, 0, 1, 2, 5, 1]) == "0-2, 5, 7"
    assert numbers([]) == ""
    assert (count(1, "rank"), count(0, "rank"), count(2048, "rank")) == ("1 rank", "0 ranks", "2,048 ranks")
