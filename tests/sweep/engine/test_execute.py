"""How much of the machine does each worker of a sweep get, and what does the warm process import?"""

from __future__ import annotations

import pytest

from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.engine.devices import devices_listed, share_out, visible_devices
from lightning_cv.sweep.engine.execute import modules_of, thread_limits
from tests.sweep.searches import write_sweep

ONE = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)\n"
MIG = (
    "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)\n"
    "  MIG 3g.20gb     Device  0: (UUID: MIG-1)\n  MIG 3g.20gb     Device  1: (UUID: MIG-2)\n"
    "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-cccc)\n"
)


@pytest.mark.parametrize(
    ("cores", "workers", "given", "expected"),
    [(8, 2, None, "4"), (2, 2, "2", "1"), (8, 2, "3", "3"), (2, 8, None, "1"), (8, 1, "many", "8"), (8, 1, "0", "8")],
)
def test_threads_are_the_workers_share_of_the_cores_at_most(monkeypatch, cores, workers, given, expected):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert thread_limits(workers) == {"OMP_NUM_THREADS": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), (ONE, ["GPU-aaaa-1"]), (MIG, ["MIG-1", "MIG-2", "GPU-cccc"]), ("no devices were found", [])],
)
def test_devices_are_those_that_can_be_used(text, expected):
    """Of a GPU that is cut into parts only the parts can."""
    assert devices_listed(text) == expected


@pytest.mark.parametrize(("given", "expected"), [("0,1", ["0", "1"]), ("", []), ("-1", []), (" GPU-a , ", ["GPU-a"])])
def test_what_the_user_lets_be_seen_is_shared_out(monkeypatch, given, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_devices() == expected


def test_each_worker_gets_devices_of_its_own_and_in_turn_where_there_are_too_few():
    def shares(*args: int, each: int = 1) -> list[str]:
        number, workers = args
        found = share_out([str(device) for device in range(number)], workers, each=each)
        return [share["CUDA_VISIBLE_DEVICES"] for share in found]

    assert shares(4, 4) == ["0", "1", "2", "3"]
    assert shares(2, 4) == ["0", "1", "0", "1"]
    assert shares(4, 2, each=2) == ["0,1", "2,3"]
    assert shares(1, 1, each=2) == ["0"]
    assert share_out([], 3, each=1) == [{}, {}, {}]


def test_the_warm_process_imports_what_recipes_may_name_and_nothing_else():
    more = "  model.init_args.schedule: {choice: {a: {class_path: torch.optim.SGD}, b: {class_path: os.system}}}"
    modules = modules_of(read_sweep(write_sweep("s", trials=1, more=more)), ())
    assert {"lightning_cv.run.program", "lightning_cv.networks.classify", "torch.optim"} <= set(modules)
    assert "os" not in modules
    assert len(modules) == len(set(modules))
