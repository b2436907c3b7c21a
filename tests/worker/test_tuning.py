"""Tuning: the fastest settings win, failures lose, findings are kept and shared, and no load ever fails of it."""

import itertools
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.worker import tuning, tuning_cache, tuning_process, tuning_trial
from mindspore_serving.worker.config import AUTO, OFF, TUNE_VARIABLE, read_tuning
from mindspore_serving.worker.config_module import CONFIG_FILE
from mindspore_serving.worker.engine_settings import INSTRUCTIONS, EngineSettings
from mindspore_serving.worker.kernels import library
from mindspore_serving.worker.loading import set_up_engine
from mindspore_serving.worker.mindir_file import FileInput
from mindspore_serving.worker.rewrites import AS_IT_IS, Rewriting
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning import Finding, compare, find_settings, kept_finding
from mindspore_serving.worker.tuning_process import Trial
from tests.processes import Processes, free_port

DEFAULT = EngineSettings("AVX2")
with_kernels = pytest.mark.skipif(library() is None, reason="the kernels are not compiled")
ALL, ONE_THREAD = {"instructions": "ALL"}, {"kernel_threads": 1}

Speed = Callable[[EngineSettings], list[float]]
CALM_SECONDS = 120.0  # enough on a busy machine


class Field:
    """Contestants whose times are known. Nothing that was started may be left running."""

    def __init__(self, speed: Speed, places: int = 0, threads: float = 2.0) -> None:
        self.speed = speed
        self.places = {Rewriting.FASTER: places}
        self.threads = threads
        self.running: list[EngineSettings] = []
        self.started: list[EngineSettings] = []
        self.turns: list[tuple[int, EngineSettings]] = []

    def start(self, settings: EngineSettings, before: Rewriting | None) -> "Runner":
        is_new = settings.rewriting not in [AS_IT_IS, *(earlier.rewriting for earlier in self.started)]
        assert (before is not None) == is_new
        self.started.append(settings)
        self.running.append(settings)
        return Runner(self, settings, before)

    def times(self, settings: EngineSettings) -> list[float]:
        assert settings in self.running
        return self.speed(settings)

    def find(self, *changes: dict[str, Any], over: Callable[[], bool] = lambda: False) -> Finding:
        finding = compare(self.start, DEFAULT, changes, over)
        assert self.running == []
        return finding


class Runner:
    def __init__(self, field: Field, settings: EngineSettings, before: Rewriting | None) -> None:
        self.settings = settings
        self.before = before
        self.places = field.places
        self.threads = field.threads
        self._field = field

    def measure(self, turn: int) -> list[float]:
        self._field.turns.append((turn, self.settings))
        return self._field.times(self.settings)

    def measure_both(self, turn: int) -> tuple[list[float], list[float]]:
        assert self.before is not None
        now = self.measure(turn)
        former = replace(
            self.settings,
            rewritten=Rewriting.FASTER in self.before,
            kernels=Rewriting.KERNELS in self.before,
            transposed=Rewriting.TRANSPOSED in self.before,
        )
        return (self._field.speed(former) if now else []), now

    def close(self) -> None:
        if self.settings in self._field.running:
            self._field.running.remove(self.settings)


def winner(speed: Speed, *changes: dict[str, Any]) -> EngineSettings:
    return Field(speed).find(*changes).settings


def test_a_faster_change_wins_and_the_next_one_is_made_to_it() -> None:
    def speed(settings: EngineSettings) -> list[float]:
        return [0.01 * (1 if settings.instructions == "ALL" else 3) * (2 if settings.kernel_threads else 1)]

    assert winner(speed, ALL, ONE_THREAD) == EngineSettings("ALL")


def test_a_draw_goes_to_fewer_threads_and_not_to_other_instructions() -> None:
    assert winner(lambda _: [0.01, 0.02], ALL, ONE_THREAD) == EngineSettings("AVX2", kernel_threads=1)


def test_a_single_thread_wins_unless_it_takes_clearly_longer() -> None:
    one_thread = {"one_thread": True}
    assert winner(lambda s: [0.0109 if s.one_thread else 0.01], one_thread) == EngineSettings("AVX2", one_thread=True)
    assert winner(lambda s: [0.0111 if s.one_thread else 0.01], one_thread) == DEFAULT
    assert winner(lambda s: [0.01], one_thread, ONE_THREAD) == EngineSettings("AVX2", one_thread=True)


def test_where_there_are_few_cores_a_single_one_may_take_longer() -> None:
    for seconds, wins in ((0.0159, True), (0.0161, False)):

        def speed(settings: EngineSettings, alone: float = seconds) -> list[float]:
            return [alone if settings.one_thread else 0.01]

        field = Field(speed)
        finding = compare(field.start, DEFAULT, [{"one_thread": True}], lambda: False, one_thread_draw=1.6)
        assert finding.settings.one_thread is wins


def test_more_threads_than_one_are_not_reckoned_with_where_they_take_no_part() -> None:
    for threads, wins in ((1.2, EngineSettings("ALL")), (1.4, EngineSettings("ALL", kernel_threads=1))):
        field = Field(lambda s: [0.009 if s.instructions == "ALL" else 0.01], threads=threads)
        assert field.find(ONE_THREAD, ALL).settings == wins
        assert len(field.started) == (2 if threads == 1.2 else 3)


def test_where_a_single_thread_computes_nothing_of_others_is_tried() -> None:
    """It is tried itself where nobody takes part, too: with the next change, they may."""
    field = Field(lambda _: [0.01], threads=1.0)
    wins = EngineSettings("AVX2", one_thread=True)
    assert field.find({"one_thread": True}, ONE_THREAD, {"runtime": ""}).settings == wins
    assert field.started == [DEFAULT, wins]


def test_weights_are_transposed_where_that_is_faster() -> None:
    for seconds, wins in ((0.0099, True), (0.0101, False)):
        times = {False: [0.01], True: [seconds]}

        def speed(settings: EngineSettings, times: dict[bool, list[float]] = times) -> list[float]:
            return times[settings.transposed]

        field = Field(speed)
        field.places = {Rewriting.TRANSPOSED: 3}
        assert field.find({"transposed": True}).settings.transposed is wins
        assert field.started[1].rewriting == Rewriting.TRANSPOSED


def test_graphs_are_rewritten_unless_that_is_slower_and_not_tried_where_there_is_nothing_to_rewrite() -> None:
    rewritten = {"rewritten": True}
    for places, speed_up, wins in ((3, 1.02, True), (3, 1.04, False), (0, 0.9, False)):
        times = {False: [0.01], True: [0.01 * speed_up]}

        def speed(settings: EngineSettings, times: dict[bool, list[float]] = times) -> list[float]:
            return times[settings.rewritten]

        field = Field(speed, places)
        assert field.find(rewritten, ALL).settings.rewritten == wins
        assert len(field.started) == (3 if places else 2)


@pytest.mark.parametrize(
    "places, kernels, rewritten, wins, tried",
    [
        ((3, 2), 0.005, 0.008, "rewritten graphs, own kernels", 2),  # there is nothing more in graphs without them
        ((3, 2), 0.011, 0.008, "rewritten graphs", 3),
        ((3, 2), 0.011, 0.011, "", 3),
        ((0, 2), 0.011, 0.008, "", 2),  # no other rule has anything to do
        ((3, 0), 0.005, 0.008, "rewritten graphs", 2),
    ],
)
def test_kernels_are_tried_with_rewritten_graphs_and_these_again_without(
    places: tuple[int, int], kernels: float, rewritten: float, wins: str, tried: int
) -> None:
    field = Field(lambda s: [kernels if s.kernels else rewritten if s.rewritten else 0.01])
    field.places = dict(zip((Rewriting.FASTER, Rewriting.KERNELS), places, strict=True))
    finding = field.find({"rewritten": True, "kernels": True}, {"rewritten": True})
    assert str(finding.settings).removeprefix("ONEDNN_MAX_CPU_ISA=AVX2").removeprefix(", ") == wins
    assert len(field.started) == tried


def test_kernels_get_twice_the_threads_as_long_as_that_is_worth_them() -> None:
    with_kernels = {"rewritten": True, "kernels": True}
    twice = [{"own_threads": 2}, {"own_threads": 4}, {"own_threads": 8}]

    def speed(settings: EngineSettings) -> list[float]:
        return [{0: 0.008, 2: 0.0067, 4: 0.0058, 8: 0.001}[settings.own_threads] * (1 if settings.kernels else 2)]

    field = Field(speed)
    field.places = {Rewriting.KERNELS: 2}
    assert field.find(with_kernels, *twice).settings.own_threads == 2
    assert [settings.own_threads for settings in field.started] == [0, 0, 2, 4]


@pytest.mark.parametrize(("free_of", "threads"), [(3, 2), (6, 0)])
def test_more_threads_win_though_others_have_the_second_core_most_of_the_time(free_of: int, threads: int) -> None:
    rounds = itertools.count()

    def speed(settings: EngineSettings) -> list[float]:
        is_free = settings.own_threads > 0 and next(rounds) % free_of == 0
        return [0.006 if is_free else 0.01 if settings.kernels else 0.02]

    field = Field(speed)
    field.places = {Rewriting.KERNELS: 2}
    assert field.find({"rewritten": True, "kernels": True}, {"own_threads": 2}).settings.own_threads == threads


@pytest.mark.parametrize("seconds, kernels", [(0.0003, True), (0.01, False)])
def test_a_short_call_or_one_without_kernels_gets_no_more_threads(seconds: float, kernels: bool) -> None:
    field = Field(lambda s: [seconds / max(s.own_threads, 1)])
    field.places = {Rewriting.KERNELS: 2 if kernels else 0}
    assert field.find({"rewritten": True, "kernels": True}, {"own_threads": 2}).settings.own_threads == 0


def test_weights_are_not_transposed_for_kernels() -> None:
    field = Field(lambda s: [0.001 if s.transposed else 0.005 if s.kernels else 0.01])
    field.places = {Rewriting.KERNELS: 2, Rewriting.TRANSPOSED: 2}
    assert not field.find({"rewritten": True, "kernels": True}, {"transposed": True}).settings.transposed


def test_graphs_that_give_other_numbers_lose_and_what_comes_next_is_tried() -> None:
    field = Field(lambda s: [] if s.rewritten else [0.009 if s.instructions == "ALL" else 0.01], places=3)
    assert field.find({"rewritten": True}, ALL).settings == EngineSettings("ALL")


def test_what_has_failed_is_not_asked_again() -> None:
    field = Field(lambda s: [] if s.instructions == "ALL" else [0.01])
    field.find(ALL)
    assert [settings for _, settings in field.turns].count(EngineSettings("ALL")) == 1


def test_both_sides_of_a_play_are_measured_in_the_same_turn_each_of_them_first_as_often_as_second() -> None:
    """A turn is a core: on a virtual machine one may be half as fast as the next, for a while."""
    field = Field(lambda s: [0.012 if s.instructions == "ALL" else 0.01])
    field.find(ALL, ONE_THREAD)
    for change, others in ((ALL, EngineSettings("ALL")), (ONE_THREAD, EngineSettings("AVX2", kernel_threads=1))):
        first = next(place for place, (_, settings) in enumerate(field.turns) if settings == others) - 1
        turns = field.turns[first : first + 48]
        assert [turn for turn, _ in turns] == [turn // 2 for turn in range(48)], change
        assert sum(settings == others for _, settings in turns) == 24
        assert sum(settings == others for _, settings in turns[::2]) == 12


def test_what_was_tried_is_told_by_the_ratios_though_sizes_or_the_machine_have_changed_meanwhile() -> None:
    measured: list[EngineSettings] = []

    def speed(settings: EngineSettings) -> list[float]:
        measured.append(settings)
        slow = 1.0 if len(measured) <= 51 else 2.0  # from the second play on
        sizes = 3 if settings.transposed or any(earlier.transposed for earlier in measured) else 2
        return [
            slow * (0.008 if settings.instructions == "ALL" else 0.01) * (0.5 if settings.transposed else 1)
        ] * sizes

    field = Field(speed)
    field.places = {Rewriting.TRANSPOSED: 3}
    finding = field.find(ALL, {"transposed": True})
    assert list(finding.seconds.values()) == pytest.approx([0.01, 0.008, 0.004])
    assert str(finding).startswith(
        "ONEDNN_MAX_CPU_ISA=ALL, transposed weights (tried ONEDNN_MAX_CPU_ISA=AVX2: 10000 us;"
    )


def test_a_slow_moment_of_the_machine_does_not_choose() -> None:
    measured: list[EngineSettings] = []

    def speed(settings: EngineSettings) -> list[float]:
        measured.append(settings)
        return [0.05 if settings.one_thread and measured.count(settings) <= 5 else 0.01]

    assert winner(speed, {"one_thread": True}) == EngineSettings("AVX2", one_thread=True)


def test_a_machine_that_becomes_slow_between_two_measurements_does_not_choose() -> None:
    """The shortest of all rounds would: it was fast once, for one of them."""
    measured: list[EngineSettings] = []

    def speed(settings: EngineSettings) -> list[float]:
        measured.append(settings)
        slow = 1.0 if len(measured) == 1 else 2.0
        return [slow * (0.009 if settings.instructions == "ALL" else 0.01)]

    assert winner(speed, ALL) == EngineSettings("ALL")


def test_those_who_are_measured_take_turns_on_few_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(tuning_trial, "_CORES", allowed[:2])

    def cores(turns: int) -> list[set[int]]:
        found = []
        for turn in range(turns):
            tuning_trial.take_turn(turn)
            found.append(set(os.sched_getaffinity(0)))
        return found

    with ThreadPoolExecutor(1) as pool:  # it is tied: not the thread of the tests
        assert pool.submit(cores, 3).result() == [{allowed[turn % len(allowed[:2])]} for turn in range(3)]
    monkeypatch.setattr(tuning_trial, "_CORES", list(range(8)))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cores, 2).result() == [set(allowed)] * 2

    def forbidden(*_: object) -> None:
        raise PermissionError("a sandbox")

    monkeypatch.setattr(tuning_trial, "_CORES", allowed[:1])
    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    tuning_trial.take_turn(0)


def test_one_model_that_gains_does_not_pay_for_another_that_loses_more() -> None:
    assert winner(lambda s: [0.01, 0.04] if s == DEFAULT else [0.005, 0.2], ALL) == DEFAULT


def test_a_change_that_crashes_is_out_and_a_default_that_crashes_gives_way() -> None:
    assert winner(lambda s: [0.01] if s == DEFAULT else [], ALL, ONE_THREAD) == DEFAULT
    assert winner(lambda s: [] if s == DEFAULT else [0.01], ALL) == EngineSettings("ALL")


def test_models_that_no_process_can_measure_get_the_default_and_are_not_tried_further() -> None:
    field = Field(lambda _: [])
    finding = field.find(ALL, ONE_THREAD)
    assert (finding.settings, finding.seconds) == (DEFAULT, {})
    assert str(finding) == "ONEDNN_MAX_CPU_ISA=AVX2 (the models could not be measured)"
    assert len(field.started) == 2


def test_a_model_that_is_all_overhead_is_not_measured_further() -> None:
    field = Field(lambda _: [20e-6, 30e-6])
    finding = field.find(ALL, ONE_THREAD)
    assert (finding.settings, finding.whole) == (DEFAULT, True)
    assert field.started == [DEFAULT]


@pytest.mark.parametrize(("with_kernels", "wins"), [(4e-6, True), (25e-6, False)])
def test_such_a_model_may_be_called_past_mindspore(with_kernels: float, wins: bool) -> None:
    """Whose calls kernels make short, though they are all overhead."""
    field = Field(lambda settings: [with_kernels if settings.kernels else 20e-6])
    field.places[Rewriting.KERNELS] = 1
    finding = field.find(ONE_THREAD, {"rewritten": True, "kernels": True}, {"rewritten": True}, ALL)
    assert (finding.settings.kernels, finding.whole) == (wins, True)
    assert len(field.started) == 2


def test_when_the_time_is_over_the_best_so_far_stays() -> None:
    field = Field(lambda s: [0.02] if s == DEFAULT else [0.01])
    finding = field.find(ALL, ONE_THREAD, over=lambda: len(field.started) > 1)
    assert finding.settings == DEFAULT
    assert not finding.whole
    assert "then the time was over" in str(finding)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mindspore-serving" / "tuning"


@pytest.fixture
def added(tmp_path: Path, models: Path) -> Path:
    """A servable's folder with a model that is all overhead."""
    shutil.copytree(models / "fixed" / "1", tmp_path / "added" / "1")
    return tmp_path / "added"


def test_a_finding_is_measured_once_and_again_when_the_model_or_the_users_choice_changes(
    cache: Path, added: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = find_settings(added, 1, Target(), AUTO, CALM_SECONDS)
    assert finding is not None
    (file,) = cache.glob("*.json")
    kept = json.loads(file.read_text())
    kept["settings"]["kernel_threads"] = 7
    file.write_text(json.dumps(kept))
    again = find_settings(added, 1, Target(), AUTO, CALM_SECONDS)
    assert again is not None
    assert again.settings.kernel_threads == 7  # from the file: not measured
    monkeypatch.setenv(INSTRUCTIONS, "SSE41")
    assert find_settings(added, 1, Target(), AUTO, CALM_SECONDS) != again
    assert len(list(cache.glob("*.json"))) == 2


def test_what_could_not_be_measured_for_want_of_time_is_measured_by_the_next_start(cache: Path, added: Path) -> None:
    hurried = find_settings(added, 1, Target(), AUTO, seconds=0.0)
    assert hurried is not None
    assert not hurried.seconds
    assert not list(cache.glob("*.json"))
    calm = find_settings(added, 1, Target(), AUTO, CALM_SECONDS)
    assert calm is not None
    assert calm.seconds


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff{",
        b"[]",
        b'{"settings": 3}',
        b'{"settings": {"instructions": ""}, "seconds": []}',
        b'{"seconds": {}}',
    ],
)
def test_a_damaged_file_counts_as_absent(tmp_path: Path, damage: bytes) -> None:
    finding = Finding(EngineSettings("AVX2", 1, 1), {"AVX2": 0.5}, True)
    tuning_cache.write(tmp_path, "key", asdict(finding))
    assert kept_finding(tmp_path, "key") == finding
    (tmp_path / "key.json").write_bytes(damage)
    assert kept_finding(tmp_path, "key") is None


@pytest.mark.parametrize(
    "change", [{"instructions": "AVX2 and more"}, {"runtime": "pipeline:True"}, {"own_threads": 1 << 20}]
)
def test_settings_that_are_none_of_ours_are_not_taken_from_a_file(tmp_path: Path, change: dict[str, Any]) -> None:
    finding = Finding(replace(EngineSettings("AVX2", 1, 1), **change), {"AVX2": 0.5}, True)
    tuning_cache.write(tmp_path, "key", asdict(finding))
    assert kept_finding(tmp_path, "key") is None


def test_without_a_home_what_was_found_is_kept_where_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tuning_cache.cache_folder({})
    assert folder is not None
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0
    assert tuning_cache.cache_folder({}) == folder
    folder.chmod(0o777)  # as who has prepared it leaves it
    assert tuning_cache.cache_folder({}) is None
    tuning_cache.write(None, "key", {"a": 1})
    assert tuning_cache.read(None, "key") is None


def test_what_a_sitecustomize_prints_is_no_answer_of_a_trial(
    cache: Path, added: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('welcome', flush=True)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = find_settings(added, 1, Target(), AUTO, CALM_SECONDS)
    assert finding is not None
    assert finding.seconds


def test_nothing_that_goes_wrong_in_tuning_fails_a_load(
    cache: Path, added: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("seconds")

    monkeypatch.setattr(tuning, "compare", fail)
    assert find_settings(added, 1, Target(), AUTO, CALM_SECONDS) is None
    assert "were not measured: KeyError: 'seconds'" in caplog.text


def test_a_model_that_ends_its_process_gets_the_default(cache: Path, added: Path) -> None:
    (added / "1" / "model.mindir").chmod(0o600)
    (added / "1" / "model.mindir").write_bytes(b"no model")
    finding = find_settings(added, 1, Target(), AUTO, CALM_SECONDS)
    assert finding is not None
    assert finding.seconds == {}
    assert len(list(cache.glob("*.json"))) == 1


def test_nothing_is_done_where_there_is_nothing_to_tune(cache: Path, added: Path) -> None:
    assert find_settings(added, 1, Target(), OFF) is None
    assert find_settings(added, 1, Target(device_type="Ascend"), AUTO) is None
    assert find_settings(added, 2, Target(), AUTO) is None
    assert not cache.exists()


def test_a_process_that_does_not_answer_in_time_has_failed(added: Path) -> None:
    trial = Trial(DEFAULT, added / "1", Target(), time.monotonic())
    assert trial.measure() == []
    trial.close()


def test_a_trial_that_takes_much_longer_to_load_than_the_first_one_is_given_up(
    added: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = tuning_process.Trials(added / "1", Target(), time.monotonic() + CALM_SECONDS)
    first = trials.start(DEFAULT)
    assert first.measure()
    first.batches = {"a": 3}
    monkeypatch.setattr(tuning_process, "_PATIENCE", 0.0)
    monkeypatch.setattr(tuning_process, "_LEAST_PATIENCE_SECONDS", 0.0)
    second = trials.start(DEFAULT)
    assert (second.measure(), second.batches) == ([], {"a": 3})
    for trial in (first, second):
        trial.close()


def test_a_folder_that_cannot_be_written_is_told_and_harmless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, "mindspore_serving.worker"):
        tuning_cache.write(tmp_path / "file" / "folder", "key", {})
    assert "cannot be kept" in caplog.text
    with tuning_cache.alone(tmp_path / "file" / "folder", "key", 0.0) as held:
        assert not held


def test_of_several_workers_one_measures_and_the_others_wait(tmp_path: Path) -> None:
    inside = threading.Event()
    leave = threading.Event()
    got: list[bool] = []

    def first() -> None:
        with tuning_cache.alone(tmp_path, "key", time.monotonic() + 60):
            inside.set()
            leave.wait(60)

    def second() -> None:
        with tuning_cache.alone(tmp_path, "key", time.monotonic() + 60) as held:
            got.append(held)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(60)
    with tuning_cache.alone(tmp_path, "key", time.monotonic()) as held:
        assert not held
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(60)
    assert got == [True]


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(50):
            tuning_cache.write(tmp_path, "key", {"number": number, "filler": "x" * 5000})

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert (tmp_path / "key.json").exists() <= (tuning_cache.read(tmp_path, "key") is not None)
    assert [file.name for file in tmp_path.iterdir()] == ["key.json"]


def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TUNE_VARIABLE)
    assert read_tuning(None) == AUTO
    monkeypatch.setenv(TUNE_VARIABLE, "Again")
    assert read_tuning(None) == "again"
    assert read_tuning(OFF) == OFF
    monkeypatch.setenv(TUNE_VARIABLE, "maybe")
    with pytest.raises(SetupError, match=r"\$MINDSPORE_SERVING_TUNE 'maybe' is not one of auto, again, off"):
        read_tuning(None)


ALONE = pytest.param("", "runs up to 64 instances together, by own kernels alone; ", marks=with_kernels)


# Though the file has no batch axis.
@pytest.mark.parametrize(("of_kernels", "how"), [ALONE, ("off", "runs 1 or .*16.* instances together; ")])
def test_a_worker_and_check_show_what_was_found(
    run: Processes, servables: Path, cache: Path, of_kernels: str, how: str
) -> None:
    arguments = ("--servable", "add", "--directory", str(servables), "--master", f"127.0.0.1:{free_port()}")
    told = {"XDG_CACHE_HOME": str(cache.parent.parent), "MINDSPORE_SERVING_KERNELS": of_kernels}
    worker = run.start("-m", "worker", *arguments, "--tune", "auto", environment=told)
    worker.wait_for("measuring the fastest settings for version")
    worker.wait_for("Start servable success")
    check = run.start("-m", "mindspore_serving", "check", str(servables / "add"), "--tune", "auto", environment=told)
    assert check.wait() == 0
    assert "fastest on this machine: " in check.output
    assert re.search(how, check.output)


@pytest.mark.parametrize("config", ["def broken(:\n", "x = '\0'\n"])
def test_a_file_that_is_no_python_is_told_before_anything_is_measured(cache: Path, added: Path, config: str) -> None:
    (added / CONFIG_FILE).write_text(config)
    _, finding = set_up_engine(added, 1, Target(), AUTO)
    assert finding is None and not cache.exists()


class Graph:
    """A graph that takes so long for one instance, and so long for each more; None: it cannot run several."""

    def __init__(self, first: float, each: float | None) -> None:
        self.first, self.each = first, each

    def learn(self, arrays: list[Any]) -> list[Any]:
        if self.each is None:
            raise ValueError("one instance, no more")
        return [self(arrays)]

    def __call__(self, arrays: list[Any]) -> float:
        return self.first + (self.each or 0.0) * (len(arrays[0]) - 1)


@pytest.mark.parametrize(
    "first, each, batch", [(0.009, 0.001, 16), (0.02, 0.01, 9), (0.04, 0.036, 2), (0.2, 0.2, 2), (0.01, None, 2)]
)
def test_a_batch_has_as_many_instances_as_are_soon_run(
    first: float, each: float | None, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the first one may take as long as ten more."""
    monkeypatch.setattr(tuning_trial, "measure", lambda call, clock: call())
    inputs = (FileInput("x", np.dtype(np.float32), (-1, 3)),)
    graph: Any = Graph(first, each)
    assert tuning_trial._affordable(graph, inputs, first) == batch
