"""Does `--batch auto` find the most samples that fit, keep the recipe's batch, and leave nothing behind?"""

import json
import mmap
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lightning_cv.cli.main import main
from lightning_cv.run.batch.finder import candidates, largest_fitting
from lightning_cv.run.batch.memory import held_bytes, is_out_of_memory, machine_room
from tests.callbacks.tiny import newest
from tests.processes import fork, fork_ranks, status_of
from tests.resuming import differences
from tests.run.batch.memory_parts import HERE

SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=4", "--trainer.accelerator=cpu"]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]
FIT = ["fit", "digits_mlp", *SHORT, *QUIET, "--allow-code=tests"]
NETWORK = "--model.init_args.network"


def network(name: str, **options) -> list[str]:
    return [f"{NETWORK}={json.dumps({'class_path': f'{HERE}.{name}', 'init_args': options})}"]


def numbers(folder: str = "r") -> tuple[int, int]:
    """Samples at once and accumulated batches, as the run's recipe states them."""
    recipe = yaml.safe_load((Path(folder) / "recipe.yaml").read_text())
    return recipe["data"]["init_args"]["batch_size"], recipe["trainer"]["accumulate_grad_batches"]


def told(capsys) -> str:
    """The line about memory."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memory ")]
    return line


def test_the_largest_fitting_divisor_is_found_in_few_trials():
    """Oracle: looking through all of them. Every batch up to 400, for 1 to 9 devices, and every place of the limit."""
    for whole in (*range(1, 40), 62, 64, 96, 128, 360, 397, 400):
        for devices in range(1, 10):
            possible = candidates(whole, devices)
            assert possible == [n for n in range(1, whole + 1) if whole % n == 0 and n % devices == 0]
            for limit in (0, *possible):
                tried = []

                def fits(batch, limit=limit, tried=tried):
                    tried.append(batch)
                    return batch <= limit

                best = largest_fitting(possible, fits)
                assert best == max((n for n in possible if n <= limit), default=None)
                assert len(tried) == len(set(tried)) <= len(possible).bit_length() + 1
                assert tried[:1] == possible[-1:]


@pytest.mark.parametrize("options", [{}, {"in_backward": True}, {"kills": True}], ids=["forward", "backward", "killed"])
def test_the_found_batch_is_the_largest_that_fits_and_a_step_keeps_its_samples(capsys, options):
    """Room for 20 samples: of the divisors of 64, 16 is the largest; four of them are the 64 of the recipe."""
    assert main([*FIT, "--batch=auto", "--run-dir=r", *network("Hungry", room=[20], **options)]) == 0
    assert numbers() == (16, 4)
    line = told(capsys)
    assert line.startswith("memory    16 of 64 samples at once (1 device x 16); ")
    assert line.endswith("; tried 64, 8, 32, 16")


def test_the_accumulation_of_the_recipe_counts(capsys):
    """A recipe of 4 x 16 is one of 64 samples a step: with room for 40, 32 at once are accumulated twice."""
    given = ["--data.init_args.batch_size=16", "--trainer.accumulate_grad_batches=4"]
    assert main([*FIT, "--batch=auto", "--run-dir=r", *given, *network("Hungry", room=[40])]) == 0
    assert numbers() == (32, 2)
    assert "64 = 1 device x 32, accumulated 2 x" in capsys.readouterr().out


def test_what_fits_as_it_is_stays_as_it_is(capsys):
    assert main([*FIT, "--batch=auto", "--run-dir=r"]) == 0
    assert numbers() == (64, 1)
    assert told(capsys).endswith("; tried 64")


@pytest.mark.parametrize("seed", ["7", "false"])
def test_training_afterwards_is_the_one_that_was_started_with_these_numbers(tmp_path, seed):
    """Oracle: the command with the found numbers, by hand; from one state of all random generators, of which a
    recipe without a seed goes on. Recipes, snapshots and records agree, and so do the files that are there."""
    network_ = network("Hungry", room=[20])
    given = {
        "auto": ["--batch=auto"],
        "hand": ["--data.init_args.batch_size=16", "--trainer.accumulate_grad_batches=4"],
    }
    for name, options in given.items():
        command = [*FIT, *network_, f"--seed_everything={seed}", f"--run-dir={name}", *options]

        def program(command=command):
            random.seed(5)  # Python draws a new one after each fork
            return main(command)

        assert status_of(fork(program)) == 0
    assert Path("auto/recipe.yaml").read_text() == Path("hand/recipe.yaml").read_text()
    states = [torch.load(newest(Path(name)), weights_only=True) for name in given]
    for part in ("state_dict", "optimizer_states", "random", "loops", "metrics"):
        assert not differences(states[0][part], states[1][part])
    assert states[0]["global_step"] == 1
    files = [sorted(str(path.relative_to(name)) for path in Path(name).rglob("*")) for name in given]
    assert files[0] == files[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auto", "hand"]


def test_nothing_is_left_of_the_trials(tmp_path, monkeypatch):
    """No file where temporary ones go, no process, no variable, and nothing on the device."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    before = dict(os.environ)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    assert main([*FIT, "--batch=auto", "--run-dir=r", *network("Hungry", room=[20])]) == 0
    assert not list((tmp_path / "temporary").iterdir())
    assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == children
    found = {name: value for name, value in os.environ.items() if before.get(name) != value}
    assert not [name for name in found if name.startswith("LIGHTNING_CV")]
    assert not torch.cuda.is_initialized()


def test_the_memory_of_the_machine_bounds_the_batch_on_a_cpu(capsys):
    """32 MB a sample on top of what this process has: within 500 MB more, 16 samples fit and 32 do not."""
    room = held_bytes(os.getpid()) + 500 * 10**6
    memory = f"--batch-memory={room}"
    assert main([*FIT, "--batch=auto", memory, "--run-dir=r", *network("Greedy", megabytes=32)]) == 0
    assert numbers() == (16, 4)
    used, limit = re.search(r"; ([\d.]+ .B) of ([\d.]+ .B); tried 64, 8, 32, 16$", told(capsys)).groups()
    assert used.split()[0] <= limit.split()[0]


def test_not_one_sample_that_fits_is_one_line_and_status_5(capsys):
    assert main([*FIT, "--batch=auto", "--run-dir=r", *network("Hungry", room=[0])]) == 5
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert re.match(r"error: --batch auto: not even 1 sample at once fit in the memory.*; make the network", line)
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (network("Hungry", room=[9], rum=1), 2, "rum"),
        (["--model.init_args.network.init_args.num_classes=7"], 2, "has 7 classes, but the data have 10"),
        (network("Broken"), 70, "--batch auto: the training fails: ZeroDivisionError: meant"),
        (["--trainer.num_nodes=2"], 2, "--batch auto on several machines needs srun or torchrun"),
        (["--trainer.strategy=ddp_spawn"], 2, "--batch auto works with trainer.strategy ddp, not with ddp_spawn"),
    ],
)
def test_what_else_is_wrong_is_told_as_training_would(capsys, options, status, said):
    """One line with the key; of a failure in the code its traceback too. The run is not begun."""
    assert main([*FIT, "--batch=auto", "--run-dir=r", *options]) == status
    error = capsys.readouterr().err
    assert said in [line for line in error.splitlines() if line.startswith(("error", "bug"))][-1]
    assert ("Traceback" in error) == (status == 70)
    assert not Path("r").exists()


def test_data_whose_batch_is_a_devices_own_are_refused(capsys):
    data = "--data={class_path: tests.run.recipe_parts.Data, init_args: {batch_size: 8}}"
    assert main([*FIT, "--batch=auto", "--run-dir=r", data]) == 2
    assert "command line: data: --batch auto needs data of lightning_cv, not Data" in capsys.readouterr().err


def test_a_loss_that_diverges_in_a_trial_is_no_matter_of_memory(capsys):
    """It fits; that the loss is not finite is told by the training itself, with its samples and status 4."""
    assert main([*FIT, "--batch=auto", "--run-dir=r", "--model.init_args.optimizer.init_args.lr=1e30"]) == 4
    captured = capsys.readouterr()
    assert "tried 64" in captured.out
    assert "the training loss became" in captured.err


def test_a_run_that_goes_on_in_its_folder_keeps_the_numbers_that_were_found(capsys):
    """The command of a job that is started again: more memory on the next machine changes no training."""
    first = [*FIT, "--batch=auto", "--run-dir=r", *network("Hungry", room=[20])]
    assert main(first) == 0
    told(capsys)
    more = [*FIT, "--batch=auto", "--run-dir=r", "--trainer.max_epochs=2", *network("Hungry", room=[20])]
    assert main(more) == 0
    captured = capsys.readouterr()
    assert "memory " not in captured.out
    assert "at step 1" in captured.err
    assert numbers() == (16, 4)


def launched(number: int, port: int, rank: int) -> dict[str, str]:
    """The variables that torchrun gives to the processes of one machine."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number, "GROUP_RANK": 0}
    names = {"TORCHELASTIC_RUN_ID": "t", "TORCHELASTIC_RESTART_COUNT": "0", "GROUP_WORLD_SIZE": "1"}
    return {name: str(value) for name, value in numbers.items()} | names


@pytest.mark.parametrize("options", [{}, {"in_backward": True}, {"kills": True}], ids=["forward", "backward", "killed"])
def test_the_worst_of_two_processes_decides_for_both(tmp_path, capfd, options):
    """Room for 20 samples on the first device and for 9 on the second: 2 x 8 of 64. Each process that a launcher
    started tries in a process of its own; where one runs out of memory, the others do not wait for it."""

    def program(rank):
        os.environ |= launched(2, 0, rank)
        command = [*FIT, "--batch=auto", "--run-dir=r", "--devices=2", "--trainer.strategy=ddp"]
        return main([*command, *network("Hungry", room=[20, 9], **options)])

    assert [status_of(child) for child in fork_ranks(2, program)] == [0, 0]
    assert numbers() == (16, 4)
    out = capfd.readouterr().out
    assert out.count("16 of 64 samples at once (2 devices x 8)") == 1
    assert "64 = 2 devices x 8, accumulated 4 x" in out
    assert not [path.name for path in tmp_path.rglob(".batch*")]


def test_a_mistake_ends_all_processes_of_a_launcher_with_the_same_line(tmp_path, capfd):
    def program(rank):
        os.environ |= launched(2, 0, rank)
        command = [*FIT, "--batch=auto", "--run-dir=r", "--devices=2", "--trainer.strategy=ddp"]
        return main([*command, *network("Hungry", room=[0, 0])])

    assert [status_of(child) for child in fork_ranks(2, program)] == [5, 5]
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 2
    assert len(set(errors)) == 1
    assert "not even 2 samples at once fit" in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_lightnings_own_launcher_starts_the_others_with_what_was_found(tmp_path):
    """The command itself on two devices, of which the second has less room: found once, by the first process."""
    program = str(Path(sys.executable).with_name("lightning-cv"))
    options = ["--batch=auto", "--run-dir=r", "--devices=2", "--trainer.strategy=ddp"]
    command = [program, *FIT, *options, *network("Hungry", room=[64, 9])]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, check=False, env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert numbers(tmp_path / "r") == (16, 4)
    assert done.stdout.count("memory    16 of 64 samples at once (2 devices x 8); ") == 1
    assert done.stdout.count("64 = 2 devices x 8, accumulated 4 x") == 1


def test_memory_is_told_from_other_errors():
    """As torch, the CUDA libraries and Python say it, also behind another error."""
    for error in (
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        OSError(12, "Cannot allocate memory"),
    ):
        assert is_out_of_memory(error), error
        outer = RuntimeError("backward failed")
        outer.__cause__ = error
        assert is_out_of_memory(outer)
    for other in (ValueError("out of memory"), RuntimeError("shape mismatch"), OSError(28, "No space left"), None):
        assert not is_out_of_memory(other), other


@pytest.mark.parametrize(
    ("files", "room"),
    [
        # MemAvailable of 1,000 kB; a group of version 2 with 500,000 - 200,000 bytes, 50,000 of them forgettable.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "500000\n",
                "sys/fs/cgroup/a/b/memory.current": "200000\n",
                "sys/fs/cgroup/a/b/memory.stat": "anon 1\ninactive_file 50000\n",
            },
            350_000,
        ),
        # The group around it is tighter.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "1\n",
                "sys/fs/cgroup/a/memory.max": "300000\n",
                "sys/fs/cgroup/a/memory.current": "100000\n",
            },
            200_000,
        ),
        # Version 1, in a container whose own path is not there.
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n3:memory,cpuset:/gone\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "400000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "100000\n",
                "sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 1000\n",
            },
            301_000,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9223372036854771712\n"}, 1_024_000),
    ],
    ids=["own", "around", "version1", "unlimited"],
)
def test_the_room_is_the_tightest_of_machine_and_groups(tmp_path, files, room):
    """By hand, from the files that the kernel documents (cgroup-v2.rst, cgroup-v1/memory.rst, proc(5))."""
    for name, text in ({"proc/meminfo": "MemTotal: 2000 kB\nMemAvailable:   1000 kB\n"} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine_room(tmp_path) == room


def ones(size: int) -> mmap.mmap:
    """Memory that no allocator kept from before."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, size, 1_000_000):
        memory[start : start + 1_000_000] = b"\x01" * min(1_000_000, size - start)
    return memory


def test_what_a_process_holds_is_what_it_allocates():
    """200 MB of ones more, new from the system; and a forked reader's own 100 MB, beside what it shares."""
    before = held_bytes(os.getpid())
    kept = ones(200_000_000)
    held = held_bytes(os.getpid()) - before
    assert held == pytest.approx(len(kept), rel=0.05)
    reader, writer = os.pipe()

    def hold():
        more = ones(100_000_000)
        os.write(writer, b"x")
        os.read(reader_of_end, 1)
        return more[0] - 1

    reader_of_end, writer_of_end = os.pipe()
    child = fork(hold)
    os.read(reader, 1)
    with_child = held_bytes(os.getpid()) - before
    os.write(writer_of_end, b"x")
    assert status_of(child) == 0
    assert with_child - held == pytest.approx(100_000_000, rel=0.2)
    assert held_bytes(2**22 + 1) == 0


@pytest.mark.gpu
def test_on_a_gpu_the_batch_fills_the_memory_that_it_may_use(capsys):
    """4 GB of the GPU: the found batch fits in it, twice as many do not, and what was used is most of a half."""
    options = ["--batch=auto", "--batch-memory=4GB", "--run-dir=r", "--trainer.accelerator=gpu"]
    big = ["--data.init_args.batch_size=65536", "--trainer.limit_train_batches=1"]
    command = ["fit", "digits_resnet", *SHORT[:1], *QUIET, *options, *big]
    assert main(command) == 0
    line = told(capsys)
    used, limit = (float(text) for text in re.search(r"; ([\d.]+) GB of ([\d.]+) GB", line).groups())
    assert limit == 4.0
    assert limit * 0.3 < used <= limit
