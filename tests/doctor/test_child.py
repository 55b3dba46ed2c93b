"""What becomes of a question whose answer fails, crashes or hangs, and are torch and W&B asked right?"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from lightning_cv.doctor.child import Child
from lightning_cv.doctor.facts import Torch, TorchDevice
from lightning_cv.doctor.gather import looked_at, torch_facts, wandb_facts
from lightning_cv.launch.alive import is_alive, process_mark

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


def child(folder: Path, module: str, **files: str) -> Child:
    """Start a module with these files before all that is installed; `__` in a name is a folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return Child(module, environ={"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"})


ASKED = """
    import os, signal, sys
    from lightning_cv.doctor.child import answering

    say = answering()
    print("a library says hello")
    say(asking="one")
    say(first=1, second=[2])
    say(asking="two")
"""


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("", ""),
        ("sys.exit(0)", ""),
        ("raise ImportError('libcudart.so.13: no such file')", "ImportError: libcudart.so.13: no such file"),
        ("sys.exit(3)", "it ends with status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os.write(3, b'{\"third\": '); os.kill(os.getpid(), signal.SIGABRT)", "killed by SIGABRT"),
    ],
)
def test_what_was_said_before_the_end_is_kept_and_the_end_is_told(tmp_path, end, problem):
    answer = child(tmp_path, "asked", asked=textwrap.dedent(ASKED) + end).answer(PATIENCE_S)
    assert answer.said == {"first": 1, "second": [2]}
    assert (answer.problem, answer.at) == (problem, "two")


def test_a_child_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    """It notes down a process of its own, then sleeps: the mark of that process is dead afterwards."""
    hang = """
        import subprocess, time
        from pathlib import Path
        from lightning_cv.doctor.child import answering
        from lightning_cv.launch.alive import process_mark

        started = subprocess.Popen(["sleep", "1000"])
        answering()(mark=process_mark(started.pid), asking="device 3")
        Path(__file__).with_name("ready").touch()
        time.sleep(1000)
    """
    started = child(tmp_path, "hang", hang=hang)
    while not (tmp_path / "ready").exists():
        assert is_alive(process_mark(started._process.pid))
    answer = started.answer(0.01)
    assert (answer.problem, answer.at) == ("no answer within 0.01 s", "device 3")
    assert not all(is_alive(answer.said["mark"]) for _ in range(100_000))


TORCH = """
    import os, signal
    from types import SimpleNamespace as Has

    __version__ = "9.1"
    version = Has(cuda="13.9", hip=None)
    backends = Has(mps=Has(is_available=lambda: False))
    distributed = Has(is_available=lambda: True, is_nccl_available=lambda: True)
    tensor = list

    class cuda:
        nccl = Has(version=lambda: (2, 99, 1))
        def get_arch_list(): return ["sm_90", "compute_90"]
        def init(): {init}
        def device_count(): return 3
        def can_device_access_peer(first, second): return {{first, second}} != {{0, 2}}
        def get_device_properties(index):
            return Has(name=f"GPU {{index}}", total_memory=1000 * index, major=9, minor=index)

    class arange:
        def __init__(self, number, device): self.device = device
        def sum(self): return self
        def item(self):
            {item}
            return 499500
"""
VISION = """
    from types import SimpleNamespace as Has

    __version__ = "0.99"
    {body}
    ops = Has(nms=lambda boxes, scores, threshold: Has(tolist=lambda: {kept}))
"""


def ask_torch(folder: Path, *, init: str = "pass", item: str = "pass", body: str = "pass", kept: str = "[0]") -> Torch:
    """Ask a torch and a torchvision that are no more than what is asked for."""
    files = {"torch": TORCH.format(init=init, item=item), "torchvision": VISION.format(body=body, kept=kept)}
    return torch_facts(child(folder, "lightning_cv.doctor.ask_torch", **files).answer(PATIENCE_S))


DEVICES = tuple(TorchDevice(name=f"GPU {i}", memory=1000 * i, capability=(9, i)) for i in range(3))


def test_a_sound_torch_is_told_whole(tmp_path):
    assert ask_torch(tmp_path) == Torch(
        version="9.1",
        cuda="13.9",
        architectures=("sm_90", "compute_90"),
        devices=DEVICES,
        nccl="2.99.1",
        no_peers=((0, 2),),
        torchvision="0.99",
    )


def test_torchvision_of_another_build_is_told_and_the_devices_too(tmp_path):
    """The error is the one that torch raises for an operator that was not loaded."""
    torch = ask_torch(tmp_path, body="raise RuntimeError('operator torchvision::nms does not exist')")
    assert torch.torchvision_problem == "RuntimeError: operator torchvision::nms does not exist"
    assert (torch.problem, torch.devices) == ("", DEVICES)
    (tmp_path / "wrong").mkdir()
    assert "keeps [0, 1] of two boxes" in ask_torch(tmp_path / "wrong", kept="[0, 1]").torchvision_problem


def test_a_torchvision_that_crashes_is_told_with_what_was_known_before(tmp_path):
    torch = ask_torch(tmp_path, body="import os; os.kill(os.getpid(), 11)")
    assert (torch.version, torch.torchvision, torch.problem, torch.problem_at) == (
        "9.1",
        None,
        "killed by SIGSEGV",
        "torchvision",
    )


def test_a_driver_that_is_too_old_is_told(tmp_path):
    torch = ask_torch(tmp_path, init="raise RuntimeError('driver too old (found version 11040)')")
    assert torch.cuda_problem == "RuntimeError: driver too old (found version 11040)"
    assert (torch.problem, torch.devices) == ("", ())


def test_a_device_that_fails_is_told_beside_those_that_work(tmp_path):
    fail = "if self.device == 'cuda:1': raise RuntimeError('no kernel image is available')"
    torch = ask_torch(tmp_path, item=fail)
    assert [device.problem for device in torch.devices] == ["", "RuntimeError: no kernel image is available", ""]
    (tmp_path / "wrong").mkdir()
    wrong = ask_torch(tmp_path / "wrong", item="if self.device == 'cuda:2': return 1")
    assert [device.problem for device in wrong.devices] == ["", "", "the sum of 0 to 999 is 1 there"]


def test_a_device_that_crashes_is_named(tmp_path):
    torch = ask_torch(tmp_path, item="if self.device == 'cuda:1': os.kill(os.getpid(), signal.SIGSEGV)")
    assert (torch.devices, torch.problem, torch.problem_at) == (DEVICES[:1], "killed by SIGSEGV", "device 1")


def test_torch_that_does_not_import_is_told_with_its_last_line(tmp_path):
    started = child(tmp_path, "lightning_cv.doctor.ask_torch", torch="raise ImportError('libtorch.so: no such file')")
    torch = torch_facts(started.answer(PATIENCE_S))
    assert (torch.version, torch.problem, torch.problem_at) == (None, "ImportError: libtorch.so: no such file", "torch")


KEY = "0123456789abcdef" * 2 + "01234567"
WANDB = f"""
    import sys
    from types import SimpleNamespace as Has

    print("a hello with {KEY}")
    Settings = Has
    def setup(settings): return Has(settings=Has(base_url="http://127.0.0.1:9"))
    def login(prompt, verify): {{login}}
    def teardown(): pass
"""


def ask_wandb(folder: Path, login: str, **environ: str):
    started = child(folder, "ignored", wandb=WANDB.format(login=login), ignored="")
    started.end()
    paths = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "HOME": str(folder), "WANDB_API_KEY": KEY}
    asked = Child("lightning_cv.doctor.ask_wandb", environ={**paths, **environ})
    return wandb_facts(asked.answer(PATIENCE_S))


def test_the_server_is_asked_only_where_runs_would_go_to_it(tmp_path):
    """Nothing listens at port 9 of this machine, so that an answer is no."""
    online = ask_wandb(tmp_path, "return True", WANDB_MODE="online", no_proxy="*")
    assert (online.url, online.logged_in, online.answers, online.problem) == ("http://127.0.0.1:9", True, False, "")
    offline = ask_wandb(tmp_path, "return True", WANDB_MODE="offline")
    assert (offline.logged_in, offline.answers) == (True, None)
    nobody = ask_wandb(tmp_path, "return False", WANDB_MODE="online")
    assert (nobody.logged_in, nobody.answers) == (False, None)


def test_the_key_is_in_nothing_that_is_known_afterwards(tmp_path):
    """It stands in the environment, and in the error of a login that is refused."""
    refused = ask_wandb(tmp_path, f"raise ValueError('API key {KEY} must have 40 characters')")
    assert "must have 40 characters" in refused.problem
    assert refused.problem.endswith("when asked for the key")
    known = looked_at(
        {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"https://me:{KEY}@host", "PATH": "x", "OMP_NUM_THREADS": "2"}
    )
    assert set(known) == {"WANDB_API_KEY", "WANDB_BASE_URL", "OMP_NUM_THREADS"}
    assert KEY not in str(known) + str(refused)
