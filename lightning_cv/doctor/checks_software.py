"""Are Python and the packages those that lightning_cv needs, and do torch and torchvision fit each other?"""

from __future__ import annotations

from lightning_cv.doctor.child import NO_ANSWER
from lightning_cv.doctor.facts import Facts, Package
from lightning_cv.doctor.finding import Finding, Status, count

SLOW = "wait longer with --timeout, if packages lie on a slow file system"
REINSTALL = "reinstall both together, from one index: pip install --force-reinstall torch torchvision"


def check_python(facts: Facts) -> list[Finding]:
    """Python against what the metadata of lightning_cv ask for."""
    software = facts.software
    wanted = f" (wanted: {software.python_wanted})" if software.python_wanted else ""
    if software.python_fits:
        return [Finding("Python", Status.OK, software.python + wanted)]
    mend = f"make an environment with Python {software.python_wanted}"
    return [Finding("Python", Status.BROKEN, software.python + wanted, mend)]


def check_packages(facts: Facts) -> list[Finding]:
    """Every package against the bounds of those that ask for it."""
    packages = facts.software.packages
    if not packages:
        found = "lightning_cv is not installed, so that nobody knows which versions it needs"
        return [Finding("packages", Status.WARNING, found, "pip install . in its checkout")]
    own = [package for package in packages if package.asked_by == "lightning_cv"]
    wrong = [package for package in own if not package.fits]
    if wrong:
        mend = "pip install " + " ".join(f"'{package.name}{package.wanted}'" for package in wrong)
        return [Finding("packages", Status.BROKEN, "; ".join(map(_told, wrong)), mend)]
    # What torchvision wants of torch has a check of its own.
    others = [package for package in packages if not package.fits and package.asked_by != "torchvision"]
    if others:
        mend = "pip install --upgrade " + " ".join(dict.fromkeys(package.asked_by for package in others))
        return [Finding("packages", Status.WARNING, "; ".join(map(_told, others[:5])), mend)]
    return [Finding("packages", Status.OK, f"{count(len(own), 'package')}, all of a version that is wanted")]


def check_torch(facts: Facts) -> list[Finding]:
    """Whether torch imports; what becomes of its devices has a line of its own."""
    torch = facts.torch
    if torch.version is None:
        return [Finding("torch", Status.BROKEN, f"it does not import: {torch.problem}", _mend(torch.problem))]
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "the CPU"
    found = f"{torch.version}, built for {built}"
    if torch.problem_at in ("torch", "NCCL"):
        return [
            Finding("torch", Status.BROKEN, f"{found}: {torch.problem}, when asked for {torch.problem_at}", REINSTALL)
        ]
    return [Finding("torch", Status.OK, found)]


def check_torchvision(facts: Facts) -> list[Finding]:
    """Whether its own operators run beside this torch: built for another, they are missing (`torchvision::nms`)."""
    torch = facts.torch
    if torch.version is None or torch.problem_at in ("torch", "NCCL"):
        return []
    asks = next((each for each in facts.software.packages if _is_its_torch(each) and not each.fits), None)
    made_for = f"it is made for torch{asks.wanted}, installed is {asks.installed}" if asks else ""
    problem = torch.torchvision_problem or (torch.problem if torch.problem_at == "torchvision" else "")
    if problem:
        found = f"{torch.torchvision or 'it does not import'}: {problem}"
        return [Finding("torchvision", Status.BROKEN, f"{found}; {made_for}".removesuffix("; "), _mend(problem))]
    if made_for:
        return [Finding("torchvision", Status.WARNING, f"{torch.torchvision}: {made_for}", REINSTALL)]
    return [Finding("torchvision", Status.OK, f"{torch.torchvision}, its operators run")]


def _mend(problem: str) -> str:
    return SLOW if problem.startswith(NO_ANSWER) else REINSTALL


def _is_its_torch(package: Package) -> bool:
    return package.asked_by == "torchvision" and package.name == "torch"


def _told(package: Package) -> str:
    installed = f"{package.installed} is installed" if package.installed else "it is not installed"
    by = "" if package.asked_by == "lightning_cv" else f" ({package.asked_by} asks for it)"
    return f"{package.name}{package.wanted} is wanted, {installed}{by}"
