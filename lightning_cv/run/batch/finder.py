"""How many samples fit in memory at once, so that accumulated they make the batch of the recipe?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import yaml

from lightning_cv.errors import BUG, ResourceError, UserError
from lightning_cv.recipe.request import RunRequest
from lightning_cv.recipe.sizes import size_text
from lightning_cv.run.batch.memory import OF_A_MACHINE, held_bytes, machine_room
from lightning_cv.run.batch.peers import Peers
from lightning_cv.run.batch.probe import BATCH, Candidate, Verdict, probe
from lightning_cv.run.batch.recipe import devices_of, resolved_config
from lightning_cv.run.batch.trial import Places, free_port, local_places, own_place, run_trial
from lightning_cv.run.folder import holds_run
from lightning_cv.run.processes.launched import told_rank
from lightning_cv.run.processes.together import stalled_after_s

# The launcher starts the command again for each further device; they take what the first one found.
_FOUND_VARIABLE = "LIGHTNING_CV_FOUND_BATCH"
_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID")


def with_found_batch(request: RunRequest) -> RunRequest:
    """The request with as many samples at once as fit, and so many accumulated that a step has those of the recipe.

    Each candidate is tried in processes of its own, one for each device, which train for two steps: nothing of it
    is left in this one. A run that goes on keeps the numbers that were found for it.

    Raises:
        UserError: the recipe is wrong, or not one sample for each device fits.
    """
    if not request.auto_batch:
        return request
    candidate = _told() or _of_run(request) or _Finder(request).find()
    os.environ[_FOUND_VARIABLE] = f"{candidate.batch},{candidate.accumulated}"
    return replace(request, composed=candidate.applied_to(request.composed))


def forget_found_batch() -> None:
    """Called at the end of a run, so that the next one in this process looks for itself."""
    os.environ.pop(_FOUND_VARIABLE, None)


def candidates(whole: int, num_devices: int) -> list[int]:
    """Samples at once, ascending, that divide those of a step, and that the devices can share evenly."""
    return [batch for batch in range(num_devices, whole + 1, num_devices) if whole % batch == 0]


def largest_fitting(ascending: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The largest for which `fits` is true, where it is true up to some size; the largest of all is tried first."""
    low, high = 0, len(ascending)  # the first `low` fit, those from `high` on do not
    middle = high - 1
    while low < high:
        if fits(ascending[middle]):
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    return ascending[low - 1] if low else None


def _told() -> Candidate | None:
    told = os.environ.get(_FOUND_VARIABLE)
    if told is None or "LOCAL_RANK" not in os.environ:
        return None
    batch, accumulated = map(int, told.split(","))
    return Candidate(batch, accumulated)


def _of_run(request: RunRequest) -> Candidate | None:
    if request.run_dir is None or not holds_run(request.run_dir):
        return None
    recipe = yaml.safe_load((request.run_dir / "recipe.yaml").read_text(encoding="utf-8"))
    return Candidate(recipe["data"]["init_args"]["batch_size"], recipe["trainer"]["accumulate_grad_batches"])


class _Finder:
    """One search, in each of the processes that a launcher started, or in the one that will start the others."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        config = resolved_config(request.composed, request.allow_code)
        self._whole = config.data.init_args.batch_size * config.trainer.accumulate_grad_batches
        self._outside = told_rank() if any(name in os.environ for name in _LAUNCHERS) else None
        self._devices = devices_of(config.trainer, self._outside)
        self._tried: list[int] = []
        self._most = Verdict("memory")  # of the processes of the last trial that fitted, or of the first
        place = request.run_dir or request.runs_dir / request.name
        rank, number = self._outside or (0, 1)
        self._peers = Peers(place, rank, number, bound_s=stalled_after_s())

    def find(self) -> Candidate:
        """The candidate with the most samples at once; every process returns the same."""
        try:
            return self._lead() if self._peers.rank == 0 else self._follow()
        finally:
            self._peers.leave()

    def _lead(self) -> Candidate:
        try:
            possible = candidates(self._whole, self._devices.number)
            if not possible:
                number = self._devices.number
                raise UserError(
                    f"{self._request.composed.locate(BATCH)}: steps of {self._whole} samples given for {number} devices"
                    f" together, allowed: multiples of {number}"
                )
            batch = largest_fitting(possible, self._fits)
            if batch is None:
                raise ResourceError(self._too_little(possible[0]))
        except BaseException as error:
            self._peers.begin_turn(
                {"error": " ".join(str(error).split()), "exit_code": getattr(error, "exit_code", BUG)}
            )
            raise
        found = Candidate(batch, self._whole // batch)
        self._peers.begin_turn({"found": asdict(found)})
        print(f"memory    {self._line(found)}", flush=True)
        return found

    def _follow(self) -> Candidate:
        while True:
            turn = self._peers.await_turn()
            if "found" in turn:
                return Candidate(**turn["found"])
            if "error" in turn:
                raise _error(Verdict("wrong", text=turn["error"], exit_code=turn["exit_code"]))
            self._try(Candidate(**turn["candidate"]), port=turn["port"])

    def _fits(self, batch: int) -> bool:
        self._tried.append(batch)
        candidate, port = Candidate(batch, self._whole // batch), free_port()
        self._peers.begin_turn({"candidate": asdict(candidate), "port": port})
        verdicts = self._peers.collect(self._try(candidate, port=port))
        short = [verdict for verdict in verdicts if verdict.outcome == "memory"]
        wrong = [verdict for verdict in verdicts if verdict.outcome == "wrong"]
        if wrong and not short:  # else it may follow from that
            raise _error(min(wrong, key=lambda verdict: verdict.exit_code == BUG))
        if short and len(self._tried) > 1:
            return False
        self._most = max(short or verdicts, key=lambda verdict: verdict.peak)
        return not short

    def _try(self, candidate: Candidate, *, port: int) -> list[Verdict]:
        request = self._request
        try:
            program: Callable[[Path], Verdict] = partial(_probe_in, request, candidate)
            verdicts = run_trial(program, self._places(port), is_over=self._peers.is_over)
        except BaseException as error:
            self._peers.tell([Verdict("wrong", text=str(error), exit_code=getattr(error, "exit_code", BUG))])
            raise
        self._peers.tell(verdicts)
        return verdicts

    def _places(self, port: int) -> Places:
        memory = None
        if self._devices.is_cpu:
            room = machine_room()
            usable = None if room is None else int(OF_A_MACHINE * (room + held_bytes(os.getpid())))
            total = self._request.batch_memory or usable
            memory = None if total is None else total // self._devices.here
        if self._outside is not None:
            return own_place(port, memory=memory)
        return local_places(self._devices.here, port, memory=memory)

    def _line(self, found: Candidate) -> str:
        number = self._devices.number
        places = f"{number} device{'s' if number > 1 else ''} x {found.batch // number}"
        used = f"; {size_text(self._most.peak)}" if self._most.peak else ""
        of = f" of {size_text(self._most.limit)}" if used and self._most.limit else ""
        each = " on the fullest" if used and number > 1 else ""
        tried = ", ".join(map(str, self._tried))
        return f"{found.batch} of {self._whole} samples at once ({places}){used}{of}{each}; tried {tried}"

    def _too_little(self, batch: int) -> str:
        of = f" of {size_text(self._most.limit)} for each process" if self._most.limit else ""
        return (
            f"--batch auto: not even {batch} sample{'s' if batch > 1 else ''} at once fit in the memory{of}; make the "
            "network or the images smaller, or set trainer.precision to bf16-mixed"
        )


def _probe_in(request: RunRequest, candidate: Candidate, folder: Path) -> Verdict:
    return probe(request.composed, candidate, allow_code=request.allow_code, memory=request.batch_memory, folder=folder)


def _error(verdict: Verdict) -> Exception:
    """What is wrong with the recipe, as training itself would say it."""
    if verdict.exit_code == BUG:
        sys.stderr.write(verdict.text.rstrip() + "\n")
        return RuntimeError(f"--batch auto: the training fails: {verdict.text.strip().splitlines()[-1]}")
    error = UserError(verdict.text)
    error.exit_code = verdict.exit_code
    return error
