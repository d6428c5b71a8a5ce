"""The limits of a machine and of a job, on trees of files as Linux shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from _backends import TRAINABLE

from multifit.errors import ConfigError
from multifit.host import cgroups, cores, memory, threads
from multifit.host.sizes import as_bytes, in_words

V1 = "40 30 0:35 {top} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
V2 = "29 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHERS = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n33 23 0:30 /\\040x /a\\040b rw - tmpfs tmpfs rw\n"
FREE = {"proc/meminfo": "MemTotal: 9999999 kB\nMemAvailable: 8000000 kB\n"}
GROUP = "sys/fs/cgroup"
UNLIMITED = "9223372036854771712\n"


@pytest.fixture(autouse=True)
def _no_limits_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: endless)
    for name in (threads.VARIABLE, *threads.LIBRARIES, memory.VARIABLE):
        monkeypatch.delenv(name, raising=False)


def tree(root: Path, files: Mapping[str, str], group: str = "", mounts: str = "") -> Path:
    """Write files below a folder that stands for ``/``."""
    known = {"proc/self/cgroup": group, "proc/self/mountinfo": OTHERS + mounts}
    for name, text in (known | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_the_free_memory_counts(tmp_path: Path) -> None:
    assert memory.available(tree(tmp_path, FREE), {}) == (8_192_000_000, "free memory")


def test_a_machine_without_these_files_has_memory_and_cores(tmp_path: Path) -> None:
    assert memory.available(tmp_path, {}).nbytes > 0
    assert cores.usable(tmp_path).number >= 1
    for text in ("nonsense", "MemAvailable:", "MemAvailable: much kB", "0::\n::/\n1:memory\n"):
        names = ("proc/meminfo", "proc/self/cgroup", "proc/self/mountinfo", "proc/self/status")
        root = tree(tmp_path, dict.fromkeys(names, text))
        assert memory.available(root, {}).nbytes > 0
        assert cores.usable(root).number >= 1


#: name → group of the process, mounts, files, bytes left
JOBS = {
    "v2": (
        "0::/job\n",
        V2.format(top="/"),
        {"job/memory.max": "3000000\n", "job/memory.current": "1000000\n"},
        2_000_000,
    ),
    "v2, cached files can be dropped": (
        "0::/job\n",
        V2.format(top="/"),
        {
            "job/memory.max": "3000000",
            "job/memory.current": "2000000",
            "job/memory.stat": "anon 5\nfile 9\ninactive_file 400000\nactive_file 100000\nodd\n",
        },
        1_500_000,
    ),
    "v2, nested: the limit is the parent's": (
        "0::/slurm/job_7/step_0\n",
        V2.format(top="/"),
        {
            "slurm/job_7/step_0/memory.max": "max\n",
            "slurm/job_7/memory.max": "5000000\n",
            "slurm/job_7/memory.current": "4000000\n",
            "slurm/memory.max": "9000000\n",
        },
        1_000_000,
    ),
    "v2, throttled from memory.high on": (
        "0::/job\n",
        V2.format(top="/"),
        {"job/memory.max": "max", "job/memory.high": "700000", "job/memory.current": "0"},
        700_000,
    ),
    "v2, in a container with a namespace": (
        "0::/\n",
        V2.format(top="/"),
        {"memory.max": "600000", "memory.current": "100000"},
        500_000,
    ),
    "v2, in a container that sees its path, but not its group": (
        "0::/docker/abc\n",
        V2.format(top="/docker/abc"),
        {"memory.max": "600000", "memory.current": "200000"},
        400_000,
    ),
    "v2, outside of its namespace": (
        "0::/../other\n",
        V2.format(top="/"),
        {"memory.max": "600000"},
        600_000,
    ),
    "v1": (
        "5:cpu,cpuacct:/\n4:memory:/job\n0::/\n",
        V1.format(top="/", name="memory"),
        {
            "memory/job/memory.limit_in_bytes": "3000000\n",
            "memory/job/memory.usage_in_bytes": "2500000\n",
            "memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 500000\n",
            "memory/memory.limit_in_bytes": UNLIMITED,
        },
        1_000_000,
    ),
    "v1, a group that is not there": (
        "4:memory:/host/path/abc\n",
        V1.format(top="/", name="memory"),
        {"memory/memory.limit_in_bytes": "800000"},
        800_000,
    ),
    "more is used than the limit": (
        "0::/job\n",
        V2.format(top="/"),
        {"job/memory.max": "3000000\n", "job/memory.current": "4000000\n"},
        0,
    ),
    "no limit": ("4:memory:/\n", V1.format(top="/", name="memory"), {}, 8_192_000_000),
    "v1 says that there is none": (
        "4:memory:/\n",
        V1.format(top="/", name="memory"),
        {"memory/memory.limit_in_bytes": UNLIMITED},
        8_192_000_000,
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_the_memory_of_a_job(name: str, tmp_path: Path) -> None:
    group, mounts, files, left = JOBS[name]
    root = tree(tmp_path, FREE | {f"{GROUP}/{k}": x for k, x in files.items()}, group, mounts)
    found = memory.available(root, {})
    assert found.nbytes == left
    assert ("control group" in found.reason) == (left < 8_192_000_000)


def test_limits_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    root = tree(tmp_path, FREE | {"proc/self/status": "VmSize: 1000 kB\nVmData:  500 kB\n"})
    given = {resource.RLIMIT_AS: 3_024_000, resource.RLIMIT_DATA: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (given[kind], 0))
    assert memory.available(root, {}) == (2_000_000, "ulimit -v")
    given[resource.RLIMIT_DATA] = 1_512_000
    assert memory.available(root, {}) == (1_000_000, "ulimit -d")


def test_processes_of_a_host_share_its_memory(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 9000 kB\n")
    (tmp_path / "proc/self/status").write_text("VmRSS: 1024 kB\n")
    reason = "free memory, shared by 3 processes of this host"
    assert memory.available(tmp_path, {}, 3) == (3000 << 10, reason)
    # Of a request for the node each process has a share, less what it has taken itself.
    asked = memory.available(tmp_path, {"SLURM_MEM_PER_NODE": "6"}, 3)
    assert asked.nbytes == 1 << 20
    assert asked.reason.startswith("request of the job, SLURM_MEM_PER_NODE, shared by 3")


def test_requests_of_slurm(tmp_path: Path) -> None:
    root = tree(tmp_path, FREE | {"proc/self/status": "VmRSS: 1024 kB\n"})
    per_node = memory.available(root, {"SLURM_MEM_PER_NODE": "3"})
    assert per_node == (2 << 20, "request of the job, SLURM_MEM_PER_NODE")
    given = {"SLURM_MEM_PER_CPU": "2", "SLURM_CPUS_ON_NODE": "4"}
    assert memory.available(root, given).nbytes == 7 << 20
    for all_of_it in ({"SLURM_MEM_PER_NODE": "0"}, {"SLURM_MEM_PER_CPU": "2", "X": "1"}):
        assert memory.available(root, all_of_it).reason == "free memory"


@pytest.mark.parametrize(
    ("group", "mounts", "files", "number"),
    [
        ("0::/job\n", V2.format(top="/"), {"job/cpu.max": "150000 100000\n"}, 1),
        ("0::/a/b\n", V2.format(top="/"), {"a/b/cpu.max": "max 100000", "a/cpu.max": "3 1"}, 3),
        ("0::/job\n", V2.format(top="/"), {"job/cpu.max": "10000 100000"}, 1),
        ("0::/job\n", V2.format(top="/"), {"job/cpu.max": "of no use"}, 4),
        (
            "3:cpu,cpuacct:/job\n",
            V1.format(top="/", name="cpu"),
            {"cpu/job/cpu.cfs_quota_us": "200000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        (
            "3:cpu,cpuacct:/job\n",
            V1.format(top="/", name="cpu"),
            {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            4,
        ),
    ],
)
def test_the_cores_of_a_job(
    group: str,
    mounts: str,
    files: Mapping[str, str],
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    root = tree(tmp_path, {f"{GROUP}/{name}": text for name, text in files.items()}, group, mounts)
    found = cores.usable(root)
    assert (found.number, found.reason.startswith("quota")) == (number, number < 4)


def test_two_threads_of_a_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    root = tree(tmp_path, {folder.format(k): f"{k % 4},{k % 4 + 4}\n" for k in range(8)})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable(root).number == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4}, raising=False)
    assert cores.usable(root).number == 2


def test_sizes() -> None:
    given = {200: 200e6, 1.5: 1.5e6, "500": 500e6, "2 GB": 2e9, "2gib": 2 << 30, " .5 k ": 500}
    for size, nbytes in given.items():
        assert as_bytes(size) == nbytes
    for bad in ("", "GB", "2 apples", "-1", "nan", "inf", "1e3", "2 GB more"):
        with pytest.raises(ValueError, match="is not a size"):
            as_bytes(bad)
    assert [in_words(n) for n in (0, 10_240, 3_000_000, 10**12)] == [
        *("0 MB", "0.0102 MB", "3 MB", "1.0 TB")
    ]


def test_the_memory_that_the_user_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.wanted() is None
    monkeypatch.setenv(memory.VARIABLE, "1.5 GB")
    assert memory.wanted() == 1_500_000_000
    monkeypatch.setenv(memory.VARIABLE, "lots")
    with pytest.raises(ConfigError, match="MULTIFIT_MEMORY is 'lots', but must be a number of MB"):
        memory.wanted()


def test_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert (threads.number(), threads.limited(8), threads.limited(2)) == (6, 6, 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert (threads.number(), threads.limited(8)) == (4, 8)  # frameworks have read it
    monkeypatch.setenv("MULTIFIT_THREADS", "3")
    assert (threads.number(), threads.limited(8), threads.limited(2)) == (3, 3, 3)
    for bad in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("MULTIFIT_THREADS", bad)
        with pytest.raises(ConfigError, match=f"MULTIFIT_THREADS is '{bad}', but must be an int"):
            threads.number()


def test_programs_set_variables_before_numpy_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "2"})
    assert threads.choose() == 2
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"
    assert threads.choose(5) == 5  # the command line wins
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MULTIFIT_THREADS"] == "5"
    monkeypatch.setattr(os, "environ", {"MKL_NUM_THREADS": "1"})
    assert threads.choose(share=2) == 3
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("3", "1")


@pytest.mark.parametrize("name", ["numpy", *TRAINABLE])
def test_every_framework_has_the_threads_asked_for(name: str) -> None:
    if name == "numpy":
        pytest.importorskip("threadpoolctl")
    code = f"from multifit.backend import get_backend as b; print(b({name!r}).describe())"
    keep = {k: x for k, x in os.environ.items() if "THREADS" not in k.upper() and k != "NPROC"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=keep | {"MULTIFIT_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "'threads': '3'" in done.stdout
