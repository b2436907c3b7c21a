"""Finds the fastest settings for a servable's models on this machine, by measuring them in processes of their own.

The default plays against one change after the other: both run side by side, are measured in turn, and the faster one
goes on. A change to fewer threads wins a draw, since other processes need the cores as well; one to more than a single
thread for operators is not tried where others take no part in a call. Rewritten graphs win a draw too, since each rule
was found to be faster by itself; a process that tries them has the graphs of before as well, and is compared with
itself. A process that fails or hangs loses. What was found is kept (tuning_cache.py), and nothing here ever fails a
load.
"""

import importlib.metadata
import logging
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker import tuning_cache
from mindspore_serving.worker.config import AUTO, OFF
from mindspore_serving.worker.engine_settings import (
    INSTRUCTIONS,
    KERNELS,
    KINDS,
    ONE_THREAD,
    OPENMP_THREADS,
    REWRITES,
    RUNTIME,
    EngineSettings,
    changes,
    core_count,
    cpu_flags,
    cpu_line,
    first_try,
    is_known,
)
from mindspore_serving.worker.kernels import OWN_THREADS, library
from mindspore_serving.worker.rewrites import Rewriting
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning_process import Trials
from mindspore_serving.worker.tuning_trial import model_files

logger = logging.getLogger("mindspore_serving.worker")

_SECONDS = 60.0  # for all trials of a version together: seven, each of which starts MindSpore and loads the models
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 25  # a round takes milliseconds, and a machine can be slow for several;
_PLAY_SECONDS = 1.0  # but a large model has no more than the least after this
_FASTER = 0.97  # what a change must reach of the time before it
_DRAW = 1.03  # and one to fewer threads, or to graphs that are written otherwise
_TRANSPOSED = 1.0  # and one to transposed weights
# And one to a single thread: it takes half the CPU, and leaves other cores to Python and the master. Where there are
# few, those want the second one all the time, which nobody does while models are measured.
_ONE_THREAD_DRAW, _ON_FEW_CORES_DRAW, _FEW_CORES = 1.10, 1.60, 3
# And one to twice as many threads for kernels, of a full batch and of one instance, which hardly gains: each core that
# they take is one less for others. What is over sooner has no need of them.
_TWICE_THE_THREADS, _WORTH_THREADS_SECONDS = 0.85, 0.4e-3
# A call that takes less is hardly more than MindSpore's own overhead: only calls past MindSpore are faster.
_NOTHING_TO_GAIN_SECONDS = 50e-6
_SHARED = 1.3  # CPU seconds of all threads over the caller's, where others do a part of the work
_FORMAT = "26"


@dataclass(frozen=True)
class Finding:
    """settings: the fastest. seconds: of a call with each of the settings that were tried, the default first.

    It is the geometric mean over model files and batch sizes with the default, times the ratios that were found. Empty:
    the models could not be measured, as when they have open dimensions besides the batch. `whole`: nothing was left out
    for want of time.
    """

    settings: EngineSettings
    seconds: dict[str, float]
    whole: bool

    def __str__(self) -> str:
        if not self.seconds:
            return f"{self.settings} (the models could not be measured)"
        tried = "; ".join(f"{name}: {value * 1e6:.0f} us" for name, value in self.seconds.items())
        return f"{self.settings} (tried {tried}{'' if self.whole else '; then the time was over'})"


def find_settings(folder: Path, version: int, target: Target, mode: str, seconds: float = _SECONDS) -> Finding | None:
    """The finding for a version of the servable in `folder`, from the cache or measured now, in so many seconds.

    None for mode "off", on other devices than CPUs, and where there is no model.
    """
    if mode == OFF or target.device_type != "CPU":
        return None
    place = folder / str(version)
    cache = tuning_cache.cache_folder(os.environ)
    deadline = time.monotonic() + seconds
    try:
        files = model_files(place)
        if not files:
            return None
        key = tuning_cache.content_key(files, facts(target))
        known = kept_finding(cache, key) if mode == AUTO else None
        if known is not None:
            return known
        logger.info(
            "measuring the fastest settings for version %d of '%s' on this machine: at most %.0f s, and once "
            "(--tune off does without)",
            version,
            folder,
            seconds,
        )
        with tuning_cache.alone(cache, key, deadline):
            known = kept_finding(cache, key) if mode == AUTO else None  # another worker may have measured meanwhile
            finding = known or compare(
                Trials(place, target, deadline).start,
                first_try(os.environ, cpu_flags()),
                changes(os.environ, cpu_flags(), core_count()),
                lambda: time.monotonic() > deadline,
                _ON_FEW_CORES_DRAW if core_count() <= _FEW_CORES else _ONE_THREAD_DRAW,
            )
            # When the machine was too busy to measure anything, the next start tries again.
            if known is None and (finding.seconds or finding.whole):
                tuning_cache.write(cache, key, asdict(finding))
            return finding
    except ServableError:  # the user's own choice makes no sense
        raise
    except Exception as error:  # nothing here fails a load
        logger.warning("the models of '%s' were not measured: %s: %s", place, type(error).__name__, error)
        logger.debug("where that came up", exc_info=True)
        return None


def facts(target: Target) -> list[str]:
    """What a finding depends on besides the models."""
    return [
        _FORMAT,
        cpu_line("model name"),
        cpu_line("flags"),
        str(core_count()),
        _mindspore_version(),
        os.environ.get(INSTRUCTIONS, ""),
        os.environ.get(OPENMP_THREADS, ""),
        os.environ.get(RUNTIME, ""),
        os.environ.get(ONE_THREAD, ""),
        os.environ.get(REWRITES, ""),
        os.environ.get(KERNELS, ""),
        os.environ.get(OWN_THREADS, ""),
        "" if library() is None else "kernels",
        target.dec_mode if target.dec_key else "",
    ]


def _mindspore_version() -> str:
    try:
        return importlib.metadata.version("mindspore")
    except importlib.metadata.PackageNotFoundError:
        return ""  # installed under another name, or not at all: loading tells


def kept_finding(cache: Path | None, key: str) -> Finding | None:
    """What an earlier start found; None when there is nothing, or it is of another format, or damaged."""
    found = tuning_cache.read(cache, key)
    try:
        if found is None:
            return None
        settings = EngineSettings(
            str(found["settings"]["instructions"]),
            int(found["settings"]["openmp_threads"]),
            int(found["settings"]["kernel_threads"]),
            str(found["settings"]["runtime"]),
            bool(found["settings"]["one_thread"]),
            bool(found["settings"]["rewritten"]),
            bool(found["settings"]["kernels"]),
            int(found["settings"]["own_threads"]),
            bool(found["settings"]["transposed"]),
        )
        if not is_known(settings):
            return None
        seconds = {str(name): float(value) for name, value in found["seconds"].items()}
        return Finding(settings, seconds, bool(found["whole"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class Contestant(Protocol):
    """What is needed of a Trial."""

    settings: EngineSettings
    before: Rewriting | None
    places: dict[Rewriting, int]
    threads: float

    def measure(self, turn: int) -> list[float]: ...
    def measure_both(self, turn: int) -> tuple[list[float], list[float]]: ...
    def close(self) -> None: ...


def compare(
    start: Callable[[EngineSettings, Rewriting | None], Contestant],
    default: EngineSettings,
    changes: Sequence[Mapping[str, Any]],
    time_is_over: Callable[[], bool],
    one_thread_draw: float = _ONE_THREAD_DRAW,
) -> Finding:
    """Plays one change after the other against the best so far.

    start: its second argument is how graphs were written until then, where the change writes them anew.
    one_thread_draw: a single thread wins up to so many times the seconds.
    """
    seconds: dict[str, float] = {}
    whole = True
    with ExitStack() as running:

        def enter(settings: EngineSettings, before: Rewriting | None = None) -> Contestant:
            return running.enter_context(closing(start(settings, before)))

        best = enter(default)
        times = best.measure(0)
        places = best.places
        for change in changes:
            if times and not _is_of_use(change, best, places, max(times)):
                continue
            before = None if KINDS.keys().isdisjoint(change) else best.settings.rewriting
            other = enter(replace(best.settings, **change), before)
            found, others, ratio = _play(best, other)
            if before is None or found:
                times = found
            if times:
                seconds.setdefault(str(best.settings), _mean(times))
            if others:
                # By the ratio: what was measured at another moment, or with other sizes, is not to be compared.
                seconds[str(other.settings)] = ratio * seconds[str(best.settings)] if found else _mean(others)
            if time_is_over():
                whole = False
                break
            if not times and not others:
                break
            if others and (not times or ratio < _allowed(other.settings, best.settings, one_thread_draw)):
                best, other, times = other, best, others
            other.close()
        if times:
            seconds.setdefault(str(best.settings), _mean(times))
    return Finding(best.settings, seconds, whole)


def _is_of_use(change: Mapping[str, Any], best: Contestant, places: Mapping[Rewriting, int], seconds: float) -> bool:
    """Whether this change of what is best so far can change anything. seconds: of its longest call."""
    if seconds < _NOTHING_TO_GAIN_SECONDS and not change.get("kernels"):
        return False
    if "own_threads" in change:
        is_next = change["own_threads"] == 2 * max(best.settings.own_threads, 1)
        return best.settings.kernels and is_next and seconds > _WORTH_THREADS_SECONDS
    if "transposed" in change and best.settings.kernels:
        return False  # they lay weights out as they want them
    if not KINDS.keys().isdisjoint(change):
        # Rewritten graphs are tried with kernels, and without only where these have not won.
        decisive = [KINDS["kernels"]] if "kernels" in change else [KINDS[name] for name in change]
        return any(places.get(kind, 0) for kind in decisive if kind not in best.settings.rewriting)
    if best.settings.one_thread:
        return change.keys().isdisjoint({"kernel_threads", "runtime"})  # no others, and nobody to hand over to
    return best.threads >= _SHARED or "kernel_threads" not in change


def _play(one: Contestant, other: Contestant) -> tuple[list[float], list[float], float]:
    """The shortest time of each call with either, and how many times the first one's the other takes.

    They are measured in turn, on the same core: a machine that is slow for a second is so for both. But whoever has the
    other cores for a moment takes the gain of more threads away, and of one thread nothing: then the best quarter of
    the rounds decides, not the half.
    """
    rounds = [_round(one, other, 0)]  # the other may still be loading
    end = time.monotonic() + _PLAY_SECONDS
    while len(rounds) < _LEAST_ROUNDS or (len(rounds) < _MOST_ROUNDS and time.monotonic() < end):
        if not all(rounds[-1]):  # one of them has failed: it is not waited for again
            break
        rounds.append(_round(one, other, len(rounds)))
    ratios = sorted(_mean(theirs) / _mean(ours) for ours, theirs in rounds if ours and theirs)
    ours, theirs = zip(*rounds, strict=True)
    if not ratios:
        return _shortest(ours), _shortest(theirs), math.inf
    more_threads = other.settings.own_threads > one.settings.own_threads
    decisive = ratios[len(ratios) // 4] if more_threads else statistics.median(ratios)
    return _shortest(ours), _shortest(theirs), decisive


def _round(one: Contestant, other: Contestant, turn: int) -> tuple[list[float], list[float]]:
    """Who goes first changes every other turn, since a core that did something else meanwhile is slower."""
    if other.before is not None:
        return other.measure_both(turn)
    if turn // 2 % 2:
        theirs = other.measure(turn)
        return one.measure(turn), theirs
    return one.measure(turn), other.measure(turn)


def _shortest(rounds: Sequence[list[float]]) -> list[float]:
    return [] if not all(rounds) else [min(times) for times in zip(*rounds, strict=True)]


def _allowed(change: EngineSettings, before: EngineSettings, one_thread_draw: float) -> float:
    """What a change may take of the time before it, to win."""
    if change.one_thread and not before.one_thread:
        return one_thread_draw
    if change.transposed and not before.transposed:
        return _TRANSPOSED
    if change.own_threads > before.own_threads:
        return _TWICE_THE_THREADS
    threads = (change.kernel_threads, change.openmp_threads) != (before.kernel_threads, before.openmp_threads)
    return _DRAW if threads or change.rewriting != before.rewriting else _FASTER


def _mean(times: list[float]) -> float:
    return math.exp(sum(map(math.log, times)) / len(times))
