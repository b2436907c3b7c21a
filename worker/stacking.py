"""Whether a model without a batch axis may run several instances in one call: tried in a process of its own, once.

vmap on a loaded graph is new ground: what ends that process, or keeps it busy for too long, is not tried in a worker.
What was found is kept beside what tuning found.
"""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from mindspore_serving.worker import tuning_cache
from mindspore_serving.worker.config import AUTO, OFF
from mindspore_serving.worker.engine_settings import EngineSettings
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning import facts
from mindspore_serving.worker.tuning_process import trial_environment, trial_request

logger = logging.getLogger("mindspore_serving.worker")

SECONDS = 20.0
_KEY = "stacks"


def may_stack(file: Path, target: Target, settings: EngineSettings, mode: str, seconds: float = SECONDS) -> bool:
    """Whether stacked_model.py can do it for this file; from the cache, or tried now, in so many seconds.

    False for mode "off", and on other devices than CPUs. settings: those that MindSpore runs with here.
    """
    if mode == OFF or target.device_type != "CPU":
        return False
    cache = tuning_cache.cache_folder(os.environ)
    deadline = time.monotonic() + seconds
    try:
        key = tuning_cache.content_key([file], [*facts(target), _KEY, str(settings)])
        known = _known(cache, key) if mode == AUTO else None
        if known is not None:
            return known
        logger.info("trying whether '%s' can run several instances in one call: once (--tune off does without)", file)
        with tuning_cache.alone(cache, key, deadline):
            known = _known(cache, key) if mode == AUTO else None  # another worker may have tried meanwhile
            if known is None and (known := _try(file, target, settings, deadline)) is not None:
                tuning_cache.write(cache, key, {_KEY: known})
            return bool(known)
    except OSError as error:
        logger.warning("'%s' was not tried with several instances in one call: %s", file, error)
        return False


def _known(cache: Path | None, key: str) -> bool | None:
    found = (tuning_cache.read(cache, key) or {}).get(_KEY)
    return found if isinstance(found, bool) else None


def _try(file: Path, target: Target, settings: EngineSettings, deadline: float) -> bool | None:
    """None when the time was over: the next start tries again."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mindspore_serving.worker.stacking_trial"],
            env=trial_environment(settings),
            input=trial_request(file, settings, target, deadline).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode == 0 and done.stdout.split() == [b"yes"]
