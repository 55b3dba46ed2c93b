"""How does each sample get its own random numbers, whatever the batch, the worker or the device?

A draw is a hash of (seed, epoch, sample index, draw number), so it can be computed in any order, anywhere,
for any number of samples at once, and no generator has to be carried along or saved. The hash is SplitMix64
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17): draw number
n of a key is output n of a SplitMix64 generator whose state starts at that key.
"""

import torch
from torch import Tensor

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the step of the state
_MASK_64 = 2**64 - 1


def sample_keys(seed: int, epoch: int, index: Tensor) -> Tensor:
    """One 64-bit key a sample, from which all its draws in one epoch come.

    Args:
        seed: any integer; taken modulo 2^64.
        epoch: number of the pass over the data, from 0.
        index: (B,) int64 position of each sample in its split, on any device.

    Returns:
        (B,) int64 keys, on the device of `index`.
    """
    base = torch.tensor([_signed(seed)], dtype=torch.int64)
    base = splitmix64(splitmix64(base) ^ _signed(epoch))
    return splitmix64(index ^ int(base))


def stream_keys(keys: Tensor, num_streams: int) -> Tensor:
    """Independent keys for several consumers of the same samples.

    Args:
        keys: (B,) int64 keys of the samples.
        num_streams: S, how many consumers there are.

    Returns:
        (S, B) int64: row s is what consumer s draws from.
    """
    # A stream is hashed twice, so that its key is no draw of the sample's own key.
    return splitmix64(_states(keys, 0, num_streams))


def uniform(keys: Tensor, draw: int, count: int = 1) -> Tensor:
    """Draws `draw` ... `draw + count - 1` of every key, uniform in [0, 1) in steps of 2^-24.

    Args:
        keys: (B,) int64.
        draw: number of the first draw, from 0.
        count: D, how many draws are made at once.

    Returns:
        (D, B) float32.
    """
    return _top_24_bits(keys, draw, count).to(torch.float32).mul_(2.0**-24)


def integers(keys: Tensor, draw: int, count: int, high: int) -> Tensor:
    """Draws `draw` ... `draw + count - 1` of every key as integers in [0, high).

    Args:
        keys: (B,) int64.
        draw: number of the first draw, from 0.
        count: D, how many draws are made at once.
        high: number of values, 1 to 2^24; the probabilities differ by less than high / 2^24.

    Returns:
        (D, B) int64.
    """
    assert 1 <= high <= 2**24, high
    return _top_24_bits(keys, draw, count).mul_(high).bitwise_right_shift_(24)


def splitmix64(state: Tensor) -> Tensor:
    """The output of a SplitMix64 generator whose state is `state`, bit for bit; wraps around at 2^64.

    Args:
        state: int64 of any shape, read as unsigned 64-bit integers.

    Returns:
        int64 of the same shape, to be read as unsigned.
    """
    z = state + _signed(_GOLDEN_GAMMA)
    z = _xor_shift(z, 30).mul_(_signed(0xBF58476D1CE4E5B9))
    z = _xor_shift(z, 27).mul_(_signed(0x94D049BB133111EB))
    return _xor_shift(z, 31)


def _states(keys: Tensor, draw: int, count: int) -> Tensor:
    """Outputs `draw` ... of each key: (D, B) int64."""
    # Made on the device: a tensor copied to it from a list would wait for all work under way there.
    draws = torch.arange(draw, draw + count, device=keys.device)
    return splitmix64(draws.mul_(_signed(_GOLDEN_GAMMA))[:, None] + keys)


def _top_24_bits(keys: Tensor, draw: int, count: int) -> Tensor:
    """The best mixed bits of each output: (D, B) int64 in [0, 2^24)."""
    return _states(keys, draw, count).bitwise_right_shift_(40).bitwise_and_(0xFFFFFF)


def _xor_shift(z: Tensor, bits: int) -> Tensor:
    """`z ^ (z >>> bits)`: torch shifts int64 with the sign, so the copies of the sign are masked out."""
    shifted = (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)
    return shifted.bitwise_xor_(z)


def _signed(value: int) -> int:
    """The int64 with the same bits as `value` modulo 2^64."""
    value &= _MASK_64
    return value - 2**64 if value >= 2**63 else value
