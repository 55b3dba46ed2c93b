"""Are the limits of control groups read as the kernel documents them, in both versions and in containers?"""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_cv.doctor.cgroups import cpu_quota, memory_limit

MIB, GIB = 1 << 20, 1 << 30
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
UNLIMITED = "9223372036854771712"


def make(root: Path, *, mounts: str, groups: str, **files: str) -> Path:
    """A /proc and the mounted groups; a name is a path below /sys/fs/cgroup with | for /."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "mountinfo").write_text("22 27 0:21 / /proc rw - proc proc rw\n" + mounts)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("|", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_machine_without_limits_has_none(tmp_path):
    root = make(tmp_path / "v2", mounts=V2, groups="0::/user.slice\n", **{"user.slice|cpu.max": "max 100000"})
    assert (cpu_quota(root), memory_limit(root)) == (None, None)
    files = {"cpu,cpuacct|cpu.cfs_quota_us": "-1", "cpu,cpuacct|cpu.cfs_period_us": "100000"}
    files["memory|memory.limit_in_bytes"] = UNLIMITED
    root = make(tmp_path / "v1", mounts=V1, groups="4:cpu,cpuacct:/\n3:memory:/\n", **files)
    assert (cpu_quota(root), memory_limit(root)) == (None, None)
    assert (cpu_quota(tmp_path / "no"), memory_limit(tmp_path / "no")) == (None, None)


@pytest.mark.parametrize(("text", "cores"), [("250000 100000", 2.5), ("50000 100000", 0.5), ("max 100000", None)])
def test_a_quota_of_version_2_is_time_over_period(tmp_path, text, cores):
    assert cpu_quota(make(tmp_path, mounts=V2, groups="0::/a\n", **{"a|cpu.max": text})) == cores


def test_the_tightest_of_all_groups_around_a_process_counts(tmp_path):
    """The job has 8 cores and 4 GiB, its step 16 cores and 2 GiB, and a group beside them is nobody's business."""
    files = {
        "job|cpu.max": "800000 100000",
        "job|step|cpu.max": "1600000 100000",
        "job|memory.max": str(4 * GIB),
        "job|step|memory.max": str(2 * GIB),
        "job|step|memory.current": str(GIB),
        "other|cpu.max": "100000 100000",
        "other|memory.max": str(MIB),
    }
    root = make(tmp_path, mounts=V2, groups="0::/job/step\n", **files)
    assert cpu_quota(root) == 8.0
    assert memory_limit(root) == (2 * GIB, GIB)


def test_in_version_1_each_controller_has_its_own_place(tmp_path):
    files = {
        "cpu,cpuacct|box|cpu.cfs_quota_us": "300000",
        "cpu,cpuacct|box|cpu.cfs_period_us": "100000",
        "memory|box|memory.limit_in_bytes": str(GIB),
        "memory|box|memory.usage_in_bytes": str(600 * MIB),
        "memory|box|memory.stat": f"cache {500 * MIB}\ntotal_inactive_file {400 * MIB}",
    }
    root = make(tmp_path, mounts=V1, groups="4:cpu,cpuacct:/box\n3:memory:/box\n2:cpuset:/elsewhere\n", **files)
    assert cpu_quota(root) == 3.0
    assert memory_limit(root) == (GIB, 200 * MIB), "files that can be forgotten are not taken"


def test_in_a_container_the_mount_itself_is_the_group(tmp_path):
    """The path that /proc names is that of the host, and is not there."""
    files = {
        "cpu,cpuacct|cpu.cfs_quota_us": "200000",
        "cpu,cpuacct|cpu.cfs_period_us": "100000",
        "memory|memory.limit_in_bytes": str(8 * GIB),
        "memory|memory.usage_in_bytes": str(GIB),
    }
    root = make(tmp_path, mounts=V1, groups="4:cpu,cpuacct:/docker/4f2a\n3:memory:/docker/4f2a\n", **files)
    assert cpu_quota(root) == 2.0
    assert memory_limit(root) == (8 * GIB, GIB)


def test_files_that_can_be_forgotten_are_not_taken_in_version_2_either(tmp_path):
    files = {"a|memory.max": str(GIB), "a|memory.current": str(900 * MIB)}
    files["a|memory.stat"] = f"anon {100 * MIB}\ninactive_file {700 * MIB}"
    assert memory_limit(make(tmp_path, mounts=V2, groups="0::/a\n", **files)) == (GIB, 200 * MIB)
