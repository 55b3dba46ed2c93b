"""How does the same network train faster: by the layout of its images, a compiler, coarser products?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.callbacks import Callback

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.memory_format import put_channels_last, put_contiguous
from lightning_cv.contracts import TrainsByTurns, is_trainable_task
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn

Mode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
MatmulPrecision = Literal["highest", "high", "medium"]

PRECISIONS = ("highest", "high", "medium")
OPTIONS = ("backend", "mode", "fullgraph", "dynamic", "options")


@skip_idle_hooks
class Speed(Callback):
    """Trains and scores the same network faster; what is not asked for stays as it is, bit for bit.

    Nothing of it reaches a checkpoint: weights have the same names and values with and without, so that a run
    goes on from any other's. The network, and the averaged copy of `Ema`, are changed in place while the Trainer
    runs, and handed back as they came.

    Args:
        channels_last: lay out images and weights with the channels of a pixel side by side.
        compile: translate the network with `torch.compile`: true; the name of a mode; or a mapping with options
            of it, such as {backend: aot_eager} or {mode: max-autotune, dynamic: true}. The first steps, and the
            first validation, take the time to compile.
        matmul_precision: of float32 matrix products: "highest" is float32, "high" TensorFloat32 or better where
            the GPU has it, "medium" bfloat16 (`torch.set_float32_matmul_precision`). null: as the process has it.

    Raises:
        UserError: a value that is not allowed, a task without a network, no compiler for the device.
    """

    def __init__(
        self,
        channels_last: bool = False,
        compile: bool | Mode | dict[str, Any] = False,
        matmul_precision: MatmulPrecision | None = None,
    ) -> None:
        if matmul_precision not in (None, *PRECISIONS):
            raise UserError(f"Speed: matmul_precision is {matmul_precision!r}; allowed are {', '.join(PRECISIONS)}")
        self.channels_last = channels_last
        self.compile = compile
        self.matmul_precision = matmul_precision
        self._options = _compile_options(compile)
        self._precision_before: str | None = None
        self._networks: list[nn.Module] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Change the network before it is moved, wrapped and copied."""
        if not is_trainable_task(pl_module):
            raise UserError(f"Speed: {type(pl_module).__name__} is no task with a network")
        if self._options is not None:
            if isinstance(pl_module, TrainsByTurns):
                raise UserError(
                    f"Speed: compile: {type(pl_module).__name__} trains several networks by turns, through other "
                    "methods than the one that is compiled; set it to false"
                )
            _check_compiler(self._options, trainer.strategy.root_device)
        if self.matmul_precision is not None and self._precision_before is None:
            self._precision_before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(self.matmul_precision)
        self._change(pl_module.network)
        self._change_average(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Change the averaged copy, which is made or restored after the set-up."""
        self._change_average(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Change the averaged copy, which is restored after the set-up."""
        self._change_average(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Change the averaged copy, which is restored after the set-up."""
        self._change_average(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave network and process as they were."""
        self._undo()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave network and process as they were: Lightning calls no `teardown` after an error."""
        self._undo()

    def _change_average(self, task: LightningModule) -> None:
        if is_trainable_task(task) and task.averaged is not None:
            self._change(task.averaged)

    def _change(self, network: nn.Module) -> None:
        if any(network is known for known in self._networks):
            return
        if self.channels_last:
            put_channels_last(network)
        if self._options is not None:
            # In place: a compiled wrapper would put `_orig_mod` before every name in every checkpoint.
            try:
                network.compile(**self._options)
            except (RuntimeError, TypeError) as error:  # options that exclude or do not know each other
                raise UserError(f"Speed: compile: {' '.join(str(error).split())}") from error
        self._networks.append(network)

    def _undo(self) -> None:
        for network in self._networks:
            if self._options is not None:
                network._compiled_call_impl = None
            if self.channels_last:
                put_contiguous(network)
        self._networks = []
        if self._precision_before is not None:
            torch.set_float32_matmul_precision(self._precision_before)
            self._precision_before = None


def _compile_options(given: bool | str | dict[str, Any]) -> dict[str, Any] | None:
    """Keyword arguments of `torch.compile`; None: not at all.

    Raises:
        UserError: an option or mode that it does not have.
    """
    if isinstance(given, bool):
        return {} if given else None
    options = {"mode": given} if isinstance(given, str) else dict(given)
    for name in options:
        if name not in OPTIONS:
            raise UserError(f"Speed: compile has no option {name}{hint(str(name), OPTIONS)}")
    mode = options.get("mode")
    modes = torch._inductor.list_mode_options()
    if mode is not None and mode not in modes:
        raise UserError(f"Speed: compile has no mode {mode!r}{hint(str(mode), modes)}")
    return options


def _check_compiler(options: dict[str, Any], device: torch.device) -> None:
    """Refuse what could not be compiled before the first step.

    Raises:
        UserError: torch has no such backend, or its own lacks the compiler that it needs.
    """
    backend = options.get("backend", "inductor")
    if isinstance(backend, str):
        backends = torch.compiler.list_backends(exclude_tags=())
        if backend not in backends:
            raise UserError(f"Speed: compile has no backend {backend}{hint(backend, backends)}")
    if backend != "inductor":
        return
    missing = ""
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            missing = "a C++ compiler (g++ or clang++; the variable CXX names one)"
    elif device.type == "cuda":
        from torch.utils._triton import has_triton

        missing = "" if has_triton() else "Triton and a GPU that it supports"
    if missing:
        raise UserError(
            f"Speed: compile needs {missing} on this machine; install it, or set compile to false or to "
            "{backend: aot_eager}, which compiles nothing"
        )
