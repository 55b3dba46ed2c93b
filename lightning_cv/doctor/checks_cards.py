"""Are the cards sound, cool, whole and free, as far as the driver tells?"""

from __future__ import annotations

from collections.abc import Iterable

from lightning_cv.doctor.facts import Card, Facts
from lightning_cv.doctor.finding import Finding, Status, count, numbers, size

_MUCH_USED = 0.25  # a desktop's own share of a card is less


def check_health(facts: Facts) -> list[Finding]:
    """Memory errors, faults and clocks that are held down."""
    cards = facts.driver.cards
    if not cards:
        return []
    broken, mends = [], []
    for card in cards:
        if card.recovery:
            broken.append(f"card {card.index}: the driver asks for this after a fault: {card.recovery}")
            mends.append(f"nvidia-smi --gpu-reset -i {card.index}, or restart the machine; dmesg names the fault (Xid)")
        if card.remap_failed:
            broken.append(f"card {card.index}: a bad row of its memory could not be replaced")
            mends.append(f"have card {card.index} exchanged")
        elif card.uncorrected:
            broken.append(f"card {card.index}: {count(card.uncorrected, 'memory error')} that could not be corrected")
            mends.append(f"nvidia-smi --gpu-reset -i {card.index}; if it comes again, have the card exchanged")
    if broken:
        return [Finding("health", Status.BROKEN, "; ".join(broken), mends[0])]
    pending = [card.index for card in cards if card.remap_pending]
    if pending:
        found = f"card {numbers(pending)}: a bad row of memory waits for a reset to be replaced"
        return [Finding("health", Status.WARNING, found, f"nvidia-smi --gpu-reset -i {pending[0]} when nothing runs")]
    slow = [card for card in cards if card.slowed_by]
    if slow:
        found = "; ".join(
            f"card {card.index} is slowed down by {' and '.join(card.slowed_by)}{_heat(card)}" for card in slow
        )
        return [Finding("health", Status.WARNING, found, "look at its cooling and its power supply")]
    hottest = max((card.temperature_c for card in cards if card.temperature_c is not None), default=None)
    warm = "" if hottest is None else f", at most {hottest} °C"
    return [Finding("health", Status.OK, f"{count(len(cards), 'card')}, no fault, no memory error, full clocks{warm}")]


def check_use(facts: Facts) -> list[Finding]:
    """Whether the cards are free for training."""
    cards = facts.driver.cards
    prohibited = [card.index for card in cards if card.compute_mode == "Prohibited"]
    if prohibited:
        found = f"card {numbers(prohibited)} takes no programs (compute mode Prohibited)"
        return [Finding("free memory", Status.BROKEN, found, f"nvidia-smi -c DEFAULT -i {prohibited[0]}, as root")]
    used = [card for card in cards if not card.mig and card.memory and (card.used or 0) > _MUCH_USED * card.memory]
    if used:
        return [
            Finding(
                "free memory",
                Status.WARNING,
                "; ".join(f"card {card.index}: {_used(card)} in use by others" for card in used),
                "nvidia-smi names the programs; CUDA_VISIBLE_DEVICES chooses other cards",
            )
        ]
    exclusive = [card.index for card in cards if card.compute_mode.startswith("Exclusive")]
    if exclusive:
        return [Finding("free memory", Status.NOTE, f"card {numbers(exclusive)} takes one program at a time")]
    return [Finding("free memory", Status.OK, "no card is in use")] if _any_known(cards) else []


def check_mig(facts: Facts) -> list[Finding]:
    """Cards that are cut into parts."""
    cut = [card for card in facts.driver.cards if card.mig]
    if not cut:
        return []
    empty = [card.index for card in cut if not card.parts]
    if empty:
        found = f"card {numbers(empty)} is set to be cut into parts, but has none: nothing can run on it"
        mend = f"nvidia-smi mig -cgi <profile> -C makes parts; nvidia-smi -mig 0 -i {empty[0]} makes it one card"
        return [Finding("MIG", Status.BROKEN, found, mend)]
    parts = sum(card.parts for card in cut)
    found = (
        f"card {numbers(card.index for card in cut)} in {count(parts, 'part')}: a process uses one of them, "
        "and parts do not train together"
    )
    return [Finding("MIG", Status.NOTE, found)]


def _heat(card: Card) -> str:
    return "" if card.temperature_c is None else f" ({card.temperature_c} °C)"


def _used(card: Card) -> str:
    assert card.used is not None
    assert card.memory is not None
    return f"{size(card.used)} of {size(card.memory)}"


def _any_known(cards: Iterable[Card]) -> bool:
    return any(card.used is not None for card in cards)
