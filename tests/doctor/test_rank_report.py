"""Are bandwidths what NCCL's own tests call so, and does a report come through a file as it was?"""

from __future__ import annotations

import json

import pytest

from lightning_cv.doctor.finding import Status
from lightning_cv.doctor.rank_report import RankReport, Training, Transfer, read_report

MIB = 1 << 20
REPORT = RankReport(
    backend="nccl",
    num_ranks=8,
    hosts="gpu01 (0-7)",
    transfers=(Transfer(MIB, 1e-4, 8), Transfer(256 * MIB, 2e-3, 8)),
    training=Training(steps=20, first_loss=1.4, last_loss=1.1, time_s=0.5),
)


@pytest.mark.parametrize(
    ("size", "time_us", "ranks", "algorithm", "bus"),
    [
        (268_435_456, 1119.8, 8, 239.71, 419.49),
        (1_073_741_824, 4027.3, 8, 266.61, 466.57),
        (134_217_728, 1542.0, 16, 87.04, 163.20),
        (1_073_741_824, 22661.0, 2, 47.38, 47.38),
    ],
)
def test_both_bandwidths_are_those_that_all_reduce_perf_prints(size, time_us, ranks, algorithm, bus):
    """Lines of all_reduce_perf (nccl-tests) as people published them: 8 H100, 16 GPUs, 2 GPUs."""
    transfer = Transfer(size, time_us * 1e-6, ranks)
    assert transfer.algorithm_bandwidth / 1e9 == pytest.approx(algorithm, rel=1e-4)
    assert transfer.bus_bandwidth / 1e9 == pytest.approx(bus, rel=1e-4)


@pytest.mark.parametrize(("ranks", "factor"), [(1, 0.0), (2, 1.0), (4, 1.5), (8, 1.75), (1024, 2046 / 1024)])
def test_the_factor_is_two_for_many_ranks_one_for_two_and_none_for_one(ranks, factor):
    """Closed form 2(n-1)/n."""
    assert Transfer(1000, 0.5, ranks).bus_bandwidth == pytest.approx(2000 * factor)


def test_a_report_comes_through_json_as_it_was():
    for report in (REPORT, RankReport(backend="gloo", num_ranks=2, cause="c", mend="m")):
        assert read_report(json.loads(json.dumps(report.data()))) == report


def test_findings_tell_the_best_transfer_and_the_training():
    """By hand: 256 MiB in 2 ms are 134.2 GB/s, times 1.75."""
    ranks, transfer, training = REPORT.findings()
    assert (ranks.found, ranks.status) == ("8 ranks over nccl: gpu01 (0-7)", Status.OK)
    assert transfer.found == "right sums; at most 235 GB/s of bus bandwidth (256 MiB)"
    assert training.found == "20 steps under DDP in 0.5 s, loss 1.4 to 1.1, equal weights on all ranks"


def test_a_cause_is_broken_and_what_was_measured_before_stays():
    report = RankReport(
        backend="gloo", num_ranks=2, transfers=(Transfer(MIB, 0.1, 2),), cause="rank 1 died", mend="dmesg"
    )
    ranks, transfer = report.findings()
    assert (ranks.status, ranks.found, ranks.mend) == (Status.BROKEN, "rank 1 died", "dmesg")
    assert transfer.status is Status.OK
