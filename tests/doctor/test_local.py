"""Do ranks on this machine start, report and end, whatever becomes of one of them?"""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_cv.doctor import local
from lightning_cv.doctor.allreduce import SIZES
from lightning_cv.doctor.local import run_here

ROOT = Path(__file__).parents[2]
POLL_S = 0.02


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder for temporary files; the package is found in the checkout, also by what is started."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.slow
def test_two_ranks_started_as_a_user_does_report_their_sums_and_their_training(temporary):
    report = run_here(2, cpu=True, timeout_s=300.0, num_cores=2)
    assert (report.cause, report.backend, report.num_ranks) == ("", "gloo", 2)
    assert report.hosts.endswith(" (0-1)")
    assert [each.size for each in report.transfers] == list(SIZES["gloo"])
    assert report.training is not None
    assert report.training.last_loss < report.training.first_loss
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("acts", "cause"),
    [
        ("the cause;leave", "the cause"),
        ("hang;kill", "rank 1 was killed by SIGKILL"),
        ("lost connection;kill", "rank 1 was killed by SIGKILL"),  # what is known here for certain comes first
        ("hang;fail", "rank 1 ended with status 70: ImportError: libnccl.so: no such file"),
        ("leave;leave", "the ranks came to no end, and said nothing"),
        ("hang;hang", "the ranks came to no end, and said nothing"),
    ],
)
def test_the_cause_is_what_a_rank_reports_or_what_its_end_shows(temporary, monkeypatch, acts, cause):
    """The bound is 10 time-outs of 10 polls where all of them hang; nothing is left behind."""
    monkeypatch.setattr(local, "RANK", "tests.doctor.fake_rank")
    monkeypatch.setenv("FAKE_RANKS", acts)
    report = run_here(2, cpu=True, timeout_s=10 * POLL_S if acts == "hang;hang" else 60.0, num_cores=2, poll_s=POLL_S)
    assert report.cause == cause
    assert not list(temporary.iterdir())


def test_all_is_well_where_the_report_says_so(temporary, monkeypatch):
    monkeypatch.setattr(local, "RANK", "tests.doctor.fake_rank")
    monkeypatch.setenv("FAKE_RANKS", ";leave")
    assert run_here(2, cpu=True, timeout_s=60.0, num_cores=2, poll_s=POLL_S).cause == ""


def test_a_rank_that_cannot_be_started_says_why(temporary, monkeypatch):
    monkeypatch.setattr(local, "RANK", "tests.doctor.no_such_rank")
    report = run_here(1, cpu=True, timeout_s=60.0, num_cores=1, poll_s=POLL_S)
    assert "No module named 'tests.doctor.no_such_rank'" in report.cause
