"""Does a faster training train the same, and does nothing of the speed reach what is written?"""

import math
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch._dynamo.testing import CompileCounter

from lightning_cv.callbacks import Ema, Snapshot, Speed
from lightning_cv.callbacks.memory_format import lay_out_states, put_channels_last
from lightning_cv.contracts import IMAGE
from lightning_cv.errors import UserError
from lightning_cv.tasks import Classify
from tests.callbacks.tiny import TinyModule, TinyTask, newest, trainer
from tests.processes import fork, fork_ranks, status_of
from tests.resuming import Case, Dots, convolutions, differences, end_of, go_on, train
from tests.tolerances import assert_close

WAYS = {
    "plain": {},
    "accumulation": {"accumulate_grad_batches": 3},
    "bf16": {"precision": "bf16-mixed"},
    "fp16": {"precision": "16-mixed"},
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Compiled code is kept for the whole process; a test that counts it starts with none."""
    torch.compiler.reset()


def end_with(folder, *speed, make_task=convolutions, **options):
    """All that a training of three epochs ends with."""
    return end_of(train(folder, Case(make_task, ema=True, callbacks=lambda: list(speed), options=options)))


def apart(folder, program):
    """What a program returns, from a process of its own: one that has traced a backward pass can fork no training."""
    path = folder / "apart.pt"
    assert status_of(fork(lambda: torch.save(program(), path))) == 0
    return torch.load(path, weights_only=False)


def test_without_a_wish_nothing_changes(tmp_path):
    """Oracle: the same training without the callback: weights, averages, optimizer, generators, every value logged."""
    assert not differences(end_with(tmp_path / "with", Speed()), end_with(tmp_path / "without"))


@pytest.mark.parametrize("way", WAYS)
def test_a_backend_that_runs_the_graph_as_it_is_gives_the_same_bits(tmp_path, way):
    """Oracle: the same training, not compiled. torch's own counter says that the network was compiled indeed, and
    that validation ran a compiled averaged copy, whose frames are others than the trained network's."""
    counter = CompileCounter()
    compiled = end_with(tmp_path / "compiled", Speed(compile={"backend": counter}), **WAYS[way])
    assert counter.frame_count >= 2
    assert not differences(compiled, end_with(tmp_path / "plain", **WAYS[way]))


def test_the_averaged_copy_is_compiled_too(tmp_path):
    """It is made after the network was compiled, by a deep copy, which leaves compiled code behind; only the averaged
    weights are scored, in the sanity check and after each of three epochs: always by the same compiled code."""
    compiled = []

    class Look(Callback):
        def on_validation_end(self, trainer, pl_module):
            compiled.append(pl_module.averaged._compiled_call_impl)

    end_with(tmp_path, Speed(compile={"backend": "eager"}), Look())
    assert compiled[0] is not None
    assert len(compiled) == 4
    assert all(code is compiled[0] for code in compiled)


def test_no_name_in_a_checkpoint_tells_that_it_was_compiled(tmp_path):
    """Oracle: the names and values of the training that was not compiled, in every nesting of the file."""
    compiled = Case(convolutions, ema=True, callbacks=lambda: [Speed(compile={"backend": "aot_eager"})])
    plain = Case(convolutions, ema=True)
    apart(tmp_path, lambda: end_of(train(tmp_path / "compiled", compiled)))
    train(tmp_path / "plain", plain)
    files = [torch.load(newest(tmp_path / name), weights_only=True) for name in ("compiled", "plain")]
    for part in ("state_dict", "averaged_network", "optimizer_states"):
        assert not differences(files[0][part], files[1][part])
    assert "_orig_mod" not in repr(files[0])


@pytest.mark.parametrize("first", ["compiled", "plain"])
def test_a_run_goes_on_compiled_from_one_that_was_not_and_the_other_way_round(tmp_path, first):
    """Oracle: the straight training without the callback."""
    speed = Case(convolutions, ema=True, callbacks=lambda: [Speed(compile={"backend": "aot_eager"})])
    plain = Case(convolutions, ema=True)
    before, after = (speed, plain) if first == "compiled" else (plain, speed)

    def cut_and_go_on():
        cut = train(tmp_path / "cut", before, snapshot=Snapshot(every_n_steps=1, keep_last=30))
        checkpoint = cut.folder / "checkpoints" / "last-epoch001-step000007.ckpt"
        return end_of(go_on(tmp_path / "resumed", after, cut.folder, checkpoint))

    assert not differences(apart(tmp_path, cut_and_go_on), end_of(train(tmp_path / "straight", plain)))


class ByHand(Classify):
    """Converts its images and weights itself, as PyTorch's tutorial on channels last does."""

    def step(self, network, batch):
        images = batch[IMAGE].contiguous(memory_format=torch.channels_last)
        return super().step(network.to(memory_format=torch.channels_last), {**batch, IMAGE: images})


def by_hand():
    task = convolutions()
    network = task.network.to(memory_format=torch.channels_last)
    return ByHand(network, task._build_optimizer, schedule=task._schedule)


def test_channels_last_is_the_conversion_by_hand(tmp_path):
    """Oracle: a task that converts network and images itself; the same bits at the end."""
    speed = end_with(tmp_path / "speed", Speed(channels_last=True))
    assert not differences(speed, end_with(tmp_path / "hand", make_task=by_hand))


class Colours(Dots):
    """The same images with three channels: with one, both layouts are the same."""

    def load(self, stage):
        split = super().load(stage)
        return replace(split, images=split.images.expand(-1, 3, -1, -1).contiguous())


def test_every_convolution_works_in_channels_last(tmp_path):
    """Images and weights of the first convolution, of 3 channels, have the strides of NHWC (C, 1, C W, C H W of the
    axis C), in training and in the scoring of the averaged copy."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    strides = set()

    def note(module, inputs):
        for tensor in (inputs[0], module.weight):
            _, channels, height, width = tensor.shape
            expected = (channels * height * width, 1, channels * width, channels)
            strides.add((module.weight.requires_grad, tensor.stride() == expected))

    network[0].register_forward_pre_hook(note)
    task = Classify(network, lambda groups: torch.optim.SGD(groups, lr=0.1))
    trainer(tmp_path, [Ema(), Speed(channels_last=True)]).fit(task, datamodule=Colours(batch_size=8))
    assert strides == {(True, True), (False, True)}


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_comes_back_as_it_was(tmp_path, fails):
    """Neither layout, hooks nor compiled code are left, after an error neither."""
    task = convolutions()

    class Look(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            for network in (pl_module.network, pl_module.averaged):
                assert network._compiled_call_impl is not None
                assert len(network._forward_pre_hooks) == 1
                assert not all(value.is_contiguous() for value in network.state_dict().values())
            if fails:
                raise ValueError("meant")

    fitter = trainer(tmp_path, [Ema(), Speed(channels_last=True, compile={"backend": "eager"}), Look()])
    with pytest.raises(ValueError, match="meant") if fails else nullcontext():
        fitter.fit(task, datamodule=Dots(batch_size=8))
    for network in (task.network, task.averaged):
        assert network._compiled_call_impl is None
        assert not network._forward_pre_hooks
        assert all(value.is_contiguous() for value in network.state_dict().values())


def fused(network):
    return torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)


def test_states_are_laid_out_as_their_weights():
    """Oracle: the formula of AdamW (Loshchilov and Hutter 2019) in float64. With another layout the fused optimizer
    of torch updates weights with the states of others, in silence; this shows it, and that it is mended."""
    generator = torch.Generator().manual_seed(1)
    results = {}
    for mended in (False, True):
        network = nn.Conv2d(3, 4, 3, bias=False)
        with torch.no_grad():
            network.weight.copy_(torch.randn(network.weight.shape, generator=generator.manual_seed(1)))
        optimizer = fused(network)
        grads = [torch.randn(network.weight.shape, generator=generator) for _ in range(2)]
        weight = network.weight.detach().double().clone()
        network.weight.grad = grads[0]
        optimizer.step()
        state = deepcopy(optimizer.state_dict())
        put_channels_last(network)
        optimizer = fused(network)
        optimizer.load_state_dict(state)
        if mended:
            lay_out_states(optimizer)
        network.weight.grad = grads[1].contiguous(memory_format=torch.channels_last)
        optimizer.step()
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for t, grad in enumerate(grads, start=1):
            first = 0.9 * first + 0.1 * grad.double()
            second = 0.999 * second + 0.001 * grad.double() ** 2
            step = 0.1 / (1 - 0.9**t) * first / (second.sqrt() / math.sqrt(1 - 0.999**t) + 1e-8)
            weight = weight * (1 - 0.1 * 0.01) - step
        results[mended] = (network.weight.detach() - weight.float()).abs().max().item()
    assert results[True] < 1e-5
    assert results[False] > 1e-2


@pytest.mark.parametrize("first", ["contiguous", "channels_last"])
def test_a_run_goes_on_in_the_other_layout(tmp_path, first):
    """Oracle: the straight training in one layout, to the rounding of float32; a fused optimizer minds the layout of
    the states that the checkpoint brings back."""
    plain = Case(convolutions_alone)
    speed = Case(convolutions_alone, callbacks=lambda: [Speed(channels_last=True)])
    before, after = (plain, speed) if first == "contiguous" else (speed, plain)
    cut = train(tmp_path / "cut", before, snapshot=Snapshot(every_n_steps=1, keep_last=30))
    checkpoint = cut.folder / "checkpoints" / "last-epoch001-step000007.ckpt"
    resumed = go_on(tmp_path / "resumed", after, cut.folder, checkpoint)
    straight = train(tmp_path / "straight", plain)
    for name, value in straight.task.network.state_dict().items():
        torch.testing.assert_close(resumed.task.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def convolutions_alone():
    """Without what makes rounding grow (batch norm before a ReLU, large steps)."""
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3))
    return Classify(network, lambda groups: torch.optim.AdamW(groups, lr=1e-3, fused=True))


def test_the_precision_of_products_is_set_while_it_trains_and_then_put_back(tmp_path):
    """Also after an error; what the process had before counts, be it the default or not."""
    seen = []

    class See(Callback):
        def on_train_start(self, trainer, pl_module):
            seen.append(torch.get_float32_matmul_precision())

        def on_train_end(self, trainer, pl_module):
            if len(seen) == 2:
                raise ValueError("meant")

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        trainer(tmp_path, [Speed(matmul_precision="medium"), See()]).fit(TinyTask(), datamodule=TinyModule())
        assert torch.get_float32_matmul_precision() == "high"
        with pytest.raises(ValueError, match="meant"):
            trainer(tmp_path, [Speed(matmul_precision="medium"), See()]).fit(TinyTask(), datamodule=TinyModule())
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == ["medium", "medium"]


def test_two_processes_train_compiled_as_one_does(tmp_path):
    """Oracle: one process, not compiled. Two under DDP, with averaged weights, in channels last: the same weights on
    both, equal to one process's to rounding, under the same names."""

    def program(rank):
        case = Case(
            convolutions_alone,
            ema=True,
            callbacks=lambda: [Speed(channels_last=True, compile={"backend": "aot_eager"})],
            options={"devices": 2, "strategy": "ddp"},
        )
        run = train(tmp_path / "two", case)
        state = {"weights": run.task.network.state_dict(), "averaged": run.task.averaged.state_dict()}
        torch.save(state, tmp_path / f"rank{rank}.pt")

    assert [status_of(child) for child in fork_ranks(2, program)] == [0, 0]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert not differences(ranks[0]["weights"], ranks[1]["weights"])
    one = train(tmp_path / "one", Case(convolutions_alone, ema=True)).task
    for part, network in {"weights": one.network, "averaged": one.averaged}.items():
        assert ranks[0][part].keys() == network.state_dict().keys()
        for name, value in network.state_dict().items():
            torch.testing.assert_close(ranks[0][part][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"matmul_precision": "hihg"}, "matmul_precision is 'hihg'; allowed are highest, high, medium"),
        ({"compile": "reduce-overhed"}, "no mode 'reduce-overhed'; did you mean reduce-overhead?"),
        ({"compile": {"backnd": "eager"}}, "no option backnd; did you mean backend?"),
        ({"compile": {"mode": "fast"}}, "no mode 'fast'; allowed: default, "),
    ],
)
def test_a_value_that_is_not_allowed_is_told_at_once(options, said):
    with pytest.raises(UserError) as raised:
        Speed(**options)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("compile", "said"),
    [
        ({"backend": "indutor"}, "no backend indutor; did you mean inductor?"),
        ({"mode": "default", "options": {"max_autotune": True}}, "Speed: compile: "),
        ({"options": {"no_such_option": 1}}, "no_such_option"),
    ],
)
def test_what_cannot_be_compiled_is_told_before_the_first_step(tmp_path, compile, said):
    """One line; no graph is made, and the network is as it was."""
    task = convolutions_alone()
    fitter = trainer(tmp_path, [Speed(compile=compile)])
    with pytest.raises(UserError) as raised:
        fitter.fit(task, datamodule=Dots(batch_size=8))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert fitter.global_step == 0
    assert task.network._compiled_call_impl is None


def test_a_machine_without_a_compiler_is_told_what_to_do(tmp_path):
    """torch's own search finds none where the one that CXX names does not exist."""
    from torch._inductor import config, cpp_builder

    cpp_builder.cpp_compiler_search.cache_clear()
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(UserError, match=r"needs a C\+\+ compiler .* set compile to false or to \{backend: aot_eager\}"),
    ):
        trainer(tmp_path, [Speed(compile=True)]).fit(convolutions_alone(), datamodule=Dots(batch_size=8))
    cpp_builder.cpp_compiler_search.cache_clear()


@pytest.mark.slow
def test_torchs_own_compiler_gives_the_same_training_to_rounding(tmp_path):
    """Oracle: the training that is not compiled. Machine code from torch's compiler, in channels last."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("needs a C++ compiler")
    case = Case(convolutions_alone, ema=True, callbacks=lambda: [Speed(channels_last=True, compile=True)])

    def compiled_average():
        return train(tmp_path / "compiled", case).task.averaged.state_dict()

    compiled = apart(tmp_path, compiled_average)
    plain = train(tmp_path / "plain", Case(convolutions_alone, ema=True)).task
    for name, value in plain.averaged.state_dict().items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_on_a_gpu_products_lose_bits_where_that_is_asked_for(tmp_path):
    """TensorFloat32 has 10 bits of mantissa: a product of random matrices is wrong by more than float32 would be,
    and by less than 1%; before and after the training it is float32's."""
    a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
    exact = (a.double() @ b.double()).float()
    errors = []

    class Multiply(Callback):
        def on_train_start(self, trainer, pl_module):
            errors.append(((a @ b) - exact).abs().max().item() / exact.abs().max().item())

    for precision in ("highest", "high"):
        speed = Speed(matmul_precision=precision)
        fitter = trainer(tmp_path, [speed, Multiply()], accelerator="gpu")
        fitter.fit(TinyTask(), datamodule=TinyModule())
    assert_close(a @ b, exact)
    assert errors[0] < 1e-5 < errors[1] < 1e-2


@pytest.mark.gpu
def test_on_a_gpu_compiled_channels_last_training_is_the_plain_one_to_rounding(tmp_path):
    """Oracle: the training that is neither; averaged weights, float32."""
    case = Case(convolutions_alone, ema=True, options={"accelerator": "gpu"})
    plain = train(tmp_path / "plain", case).task
    case = Case(
        convolutions_alone,
        ema=True,
        callbacks=lambda: [Speed(channels_last=True, compile=True)],
        options={"accelerator": "gpu"},
    )
    fast = train(tmp_path / "fast", case).task
    for name, value in plain.averaged.state_dict().items():
        torch.testing.assert_close(fast.averaged.state_dict()[name], value, rtol=1e-2, atol=1e-3)
