"""What does the NVIDIA driver say of itself and its cards? Asked with nvidia-smi, within a bound."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from lightning_cv.doctor.facts import Card, Driver

ANSWER_WITHIN_S = 30.0
_SLOWDOWNS = {
    "hw_thermal_slowdown": "heat",
    "sw_thermal_slowdown": "heat",
    "hw_power_brake_slowdown": "the power supply",
}
_VENDOR, _DISPLAY = "0x10de", "0x03"  # NVIDIA; the PCI class of displays and 3D controllers


def read_driver(root: Path = Path("/")) -> Driver:
    """What the driver says; a program that hangs or fails is a fact like others."""
    hardware = has_hardware(root)
    program = shutil.which("nvidia-smi")
    if program is None:
        return Driver(has_hardware=hardware)
    try:
        done = subprocess.run(  # noqa: S603 - found on the PATH
            [program, "-q", "-x"], capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        problem = f"nvidia-smi does not answer within {ANSWER_WITHIN_S:g} s"
        return Driver(has_hardware=hardware, has_program=True, problem=problem)
    except OSError as error:
        return Driver(has_hardware=hardware, has_program=True, problem=f"nvidia-smi cannot be run ({error.strerror})")
    driver = parse(done.stdout)
    if driver is None:
        said = " ".join((done.stdout + done.stderr).split())
        problem = f"nvidia-smi fails: {said:.160}" if said else f"nvidia-smi ends with status {done.returncode}"
        return Driver(has_hardware=hardware, has_program=True, problem=problem)
    return driver


def has_hardware(root: Path = Path("/")) -> bool:
    """Whether there is an NVIDIA GPU, with or without a driver: on the PCI bus, or as a device file."""
    if any(path.name[6:].isdecimal() for path in (root / "dev").glob("nvidia[0-9]*")):
        return True
    for device in (root / "sys" / "bus" / "pci" / "devices").glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == _VENDOR and kind.startswith(_DISPLAY):
            return True
    return False


def parse(text: str) -> Driver | None:
    """What `nvidia-smi -q -x` printed; None: it is no such answer. Older and newer drivers name things differently."""
    try:
        log = ElementTree.fromstring(text)  # noqa: S314 - written by the driver's own program
    except ElementTree.ParseError:
        return None
    if log.tag != "nvidia_smi_log":
        return None
    cards = tuple(_card(index, element) for index, element in enumerate(log.findall("gpu")))
    return Driver(
        has_hardware=bool(cards),
        has_program=True,
        version=_text(log, "driver_version") or None,
        cuda=_text(log, "cuda_version") or None,
        cards=cards,
    )


def _card(index: int, gpu: ElementTree.Element) -> Card:
    action = _text(gpu, "gpu_recovery_action")
    return Card(
        index=index,
        name=_text(gpu, "product_name") or "NVIDIA GPU",
        uuid=_text(gpu, "uuid"),
        memory=_bytes(_text(gpu, "fb_memory_usage/total")),
        used=_bytes(_text(gpu, "fb_memory_usage/used")),
        mig=_text(gpu, "mig_mode/current_mig") == "Enabled",
        parts=len(gpu.findall("mig_devices/mig_device")),
        uncorrected=sum(_uncorrected(gpu)),
        remap_pending=_text(gpu, "remapped_rows/remapped_row_pending") == "Yes",
        remap_failed=_text(gpu, "remapped_rows/remapped_row_failure") == "Yes",
        recovery="" if action in ("None", "N/A") else action,
        slowed_by=tuple(dict.fromkeys(_slowdowns(gpu))),
        temperature_c=_number(_text(gpu, "temperature/gpu_temp")),
        compute_mode=_text(gpu, "compute_mode") or "Default",
    )


def _uncorrected(gpu: ElementTree.Element) -> Iterator[int]:
    """Uncorrected errors since the driver was loaded, by kind; drivers before 450 count by place, with a total."""
    volatile = gpu.find("ecc_errors/volatile")
    if volatile is None:
        return
    for element in volatile:
        if "uncorrect" in element.tag:
            yield _number(element.text or "") or 0
    yield _number(_text(volatile, "double_bit/total")) or 0


def _slowdowns(gpu: ElementTree.Element) -> Iterator[str]:
    """What holds the clock down; a card that keeps within its usual power limit is not meant."""
    for group, prefix in (("clocks_event_reasons", "event"), ("clocks_throttle_reasons", "throttle")):
        for name, cause in _SLOWDOWNS.items():
            if _text(gpu, f"{group}/clocks_{prefix}_reason_{name}") == "Active":
                yield cause


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(text: str) -> int | None:
    """The number in `45 C`; None where the card does not tell."""
    first = text.split(" ")[0]
    return int(first) if first.isdecimal() else None


def _bytes(text: str) -> int | None:
    megabytes = _number(text)
    return None if megabytes is None else megabytes << 20
