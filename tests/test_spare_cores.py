"""Where a process may use a core to wait: not where the core, or the time on it, is somebody else's."""

import os
from pathlib import Path

import pytest

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import BUSY_POLL_VARIABLE
from mindspore_serving.spare_cores import Crowd, may_poll


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_who_has_one_core_only_sleeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert may_poll(None, {}, tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert not may_poll(None, {}, tmp_path)
    assert not may_poll("auto", {}, tmp_path)


def test_the_option_wins_over_the_environment(tmp_path: Path) -> None:
    off = {BUSY_POLL_VARIABLE: "off"}
    assert not may_poll(None, off, tmp_path)
    assert may_poll("auto", off, tmp_path)
    assert not may_poll("off", {BUSY_POLL_VARIABLE: "auto"}, tmp_path)
    assert may_poll(None, {BUSY_POLL_VARIABLE: ""}, tmp_path)


def test_a_word_in_the_environment_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=rf"\${BUSY_POLL_VARIABLE} 'on'.*auto"):
        may_poll(None, {BUSY_POLL_VARIABLE: "on"}, tmp_path)


@pytest.mark.parametrize(
    "limited, quota, free",
    [("", "50000 100000", "max 100000"), ("system.slice/", "200000 100000", "max 100000")],
    ids=["own group", "group above"],
)
def test_a_quota_of_cpu_time_is_not_used_up_by_waiting(tmp_path: Path, limited: str, quota: str, free: str) -> None:
    groups = {"proc/self/cgroup": "0::/system.slice/serving.service\n"}
    place = "sys/fs/cgroup/system.slice/serving.service/cpu.max"
    above = "sys/fs/cgroup/system.slice/cpu.max"
    root = write(tmp_path, {**groups, place: free, above: free})
    assert may_poll(None, {}, root)
    write(root, {above if limited else place: quota})
    assert not may_poll(None, {}, root)


def test_control_groups_of_version_1_count_too(tmp_path: Path) -> None:
    groups = "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n"
    place = "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us"
    root = write(tmp_path, {"proc/self/cgroup": groups, place: "-1\n"})
    assert may_poll(None, {}, root)
    write(root, {place: "150000\n"})
    assert not may_poll(None, {}, root)


def test_in_a_container_its_own_root_counts(tmp_path: Path) -> None:
    """With a namespace of its own it is told `/`; of version 1 it may be told a path that it cannot see."""
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"})
    assert not may_poll(None, {}, root)


def test_a_crowd_is_more_threads_than_cores_and_nothing_where_nobody_tells(tmp_path: Path) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 3/80 11206\n")
    assert Crowd(load, cores=2)()
    assert not Crowd(load, cores=3)()
    told = Crowd(load, cores=3)
    load.write_text("0.20 0.18 0.12 17/80 11206\n")
    assert told()  # it is asked anew
    assert not Crowd(tmp_path / "none", cores=1)()


def test_this_machine_tells_of_its_crowd() -> None:
    assert not Crowd(cores=100_000)()
    assert Crowd(cores=0)()  # this thread runs
