"""A process that tries to run several instances of a model in one call: started by stacking.py, for nobody else.

It reads a request in JSON from its standard input and says yes or no.
"""

import json
import os
import signal
import sys
from pathlib import Path

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.core_tie import CoreTie
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.stacked_model import StackedModel
from mindspore_serving.worker.target import Target


def main() -> None:
    """Runs once."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever MindSpore prints is nobody's
    request = json.load(sys.stdin)
    signal.alarm(request["seconds"])  # by itself, even when it hangs and its parent is gone
    key = request["dec_key"]
    target = Target(dec_key=None if key is None else bytes.fromhex(key), dec_mode=request["dec_mode"])
    if request["one_core"] and len(os.sched_getaffinity(0)) > 1:
        CoreTie().start()
    mindspore_model.set_device(target)
    if request["kernel_threads"]:
        mindspore_model.set_kernel_threads(request["kernel_threads"])
    file = Path(request["file"])
    model = Model(file.name, with_batch_dim=False)
    (loaded,) = mindspore_model.load(model, file.parent, target, lambda _: True)
    print("yes" if isinstance(loaded, StackedModel) else "no", file=answers, flush=True)
    os._exit(0)  # MindSpore's own end has nothing to tell


if __name__ == "__main__":
    main()
