"""Are machines told apart, their faults named under their names, and the launched processes known?"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from lightning_cv import __version__
from lightning_cv.doctor.checks import examine
from lightning_cv.doctor.finding import Finding, Status
from lightning_cv.doctor.launched import launched_place
from lightning_cv.doctor.nodes import compare, describe
from lightning_cv.doctor.place import Place, places_here
from lightning_cv.errors import UserError
from tests.doctor.machines import gpu_node, with_driver, with_torch

NODE = gpu_node(8)


def node(host: str, facts=NODE) -> dict:
    return describe(facts, examine(facts)) | {"host": host}


def test_a_machine_tells_versions_devices_and_what_is_wrong_with_it():
    facts = replace(with_torch(NODE, version="2.14.0"), shared_memory=None)
    told = describe(facts, examine(facts))
    assert told["has"] | {"Python": ""} == {
        "lightning_cv": __version__,
        "Python": "",
        "torch": "2.14.0",
        "torchvision": "0.29.2",
        "NCCL": "2.30.7",
        "driver": "600.10",
        "devices": ", ".join(["NVIDIA A100-SXM4-80GB"] * 8),
    }
    assert [finding["check"] for finding in told["findings"]] == ["shared memory"]


def test_one_machine_is_compared_with_none():
    assert compare([]) == compare([node("one")]) == []


def test_machines_that_are_alike_are_one_line():
    (finding,) = compare([node(name) for name in ("a", "b", "c")])
    assert (finding.status, finding.found) == (Status.OK, "3 machines, with the same versions and devices")


def test_another_driver_is_a_warning_and_another_torch_is_broken():
    (driver,) = compare([node("a"), node("b"), node("c", with_driver(NODE, version="590.1"))])
    assert driver.status is Status.WARNING
    assert driver.found == "they differ in driver: 600.10 (a, b), 590.1 (c)"
    (torch,) = compare([node("a"), node("b", with_torch(NODE, version="2.14.0"))])
    assert torch.status is Status.BROKEN
    assert torch.found == "they differ in torch: 2.15.0 (a), 2.14.0 (b)"


def test_what_is_wrong_with_another_machine_stands_under_its_name():
    """Those of the first one are in the table already."""
    wrong = replace(NODE, shared_memory=None)
    findings = compare([node("a", wrong), node("b", wrong)])
    assert [finding.check for finding in findings] == ["machines", "b: shared memory"]
    assert findings[1].status is Status.BROKEN


TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu01", "MASTER_PORT": "29500"}
SLURM = {
    **{"SLURM_JOB_ID": "1234567", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4"},
    **{"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NODELIST": "gpu[07-08]"},
}


def test_the_place_that_torchrun_gives():
    """Oracle: torchrun's documentation; its agent listens at the port where it says so."""
    place = Place(rank=5, num_ranks=8, local_rank=1, address="gpu01", port=29500)
    assert launched_place(TORCHRUN) == place
    agent = {**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"}
    assert launched_place(agent) == replace(place, launcher_listens=True, attempt="2")


def test_the_place_that_srun_gives_is_the_one_that_a_training_gets(monkeypatch):
    """Oracle: Lightning's rule, the first node and 15000 + the last four digits of the job."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "MASTER_"))]:
        monkeypatch.delenv(name)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "x")  # Lightning sets both; the test takes them away again
    monkeypatch.setenv("MASTER_PORT", "1")
    del os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    assert launched_place() == Place(rank=5, num_ranks=8, local_rank=1, address="gpu07", port=19567)


def test_tasks_that_lightning_refuses_are_refused_here(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    with pytest.raises(UserError, match="--ntasks-per-node=2"):
        launched_place()


def test_a_process_that_nobody_launched_is_told_how():
    with pytest.raises(
        UserError, match=r"srun lightning-cv doctor --nodes, or torchrun .*; on this machine alone: --proc"
    ):
        launched_place({"PATH": "x"})


def test_the_places_of_this_machine_are_what_torchrun_would_say():
    for rank, place in enumerate(places_here(3)):
        assert launched_place(place.environ()) == place
        assert (place.rank, place.local_rank, place.num_ranks) == (rank, rank, 3)


def test_a_finding_comes_through_data_as_it_was():
    finding = Finding("a", Status.WARNING, "b", "c")
    assert Finding(**{**finding.data(), "status": Status(finding.data()["status"])}) == finding
