"""How far Python stages run while the model computes: milliseconds a batch for each alone, for both, and the ratio.

    python -m benchmarks.overlap

Without any overlap, both would take the sum; with perfect overlap, the longer of the two. Measured in turn with
Python's own switch interval and with the worker's, in many short rounds: the ratio is the median of those made within a
round, since a shared machine's speed changes by half from one second to the next. Each with MindSpore's own threads,
and with none of them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_serving.cluster.messages import RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.worker.engine_settings import ONE_THREAD
from mindspore_serving.worker.loading import load_servable
from mindspore_serving.worker.process import SWITCH_SECONDS
from mindspore_serving.worker.servable import Servable
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread

METHODS = ("function", "only_model", "both")
INTERVALS = (sys.getswitchinterval(), SWITCH_SECONDS)
ROUNDS, BATCHES, INSTANCES, WIDTH = 21, 10, 16, 1024
CONFIG = '''"""A function that keeps a core busy, a model, and both after one another."""
from mindspore_serving.server import register

model = register.declare_model("net.mindir", "MindIR")

def busy(instances):
    total = 0
    for i in range(300000):
        total += i
    return [x for (x,) in instances]

@register.register_method("y")
def function(x):
    return register.add_stage(busy, x, outputs_count=1, batch_size=0)

@register.register_method("y")
def only_model(x):
    return register.add_stage(model, x, outputs_count=1)

@register.register_method("y")
def both(x):
    x = register.add_stage(busy, x, outputs_count=1, batch_size=0)
    return register.add_stage(model, x, outputs_count=1)
'''


def export(folder: Path) -> None:
    (folder / "busy" / "1").mkdir(parents=True)
    (folder / "busy" / "servable_config.py").write_text(CONFIG)
    net = nn.SequentialCell(*[nn.Dense(WIDTH, WIDTH) for _ in range(4)])
    inputs = ms.Tensor(np.ones((INSTANCES, WIDTH), np.float32))
    ms.export(net, inputs, file_name=str(folder / "busy" / "1" / "net.mindir"), file_format="MINDIR")


def measure(servable: Servable, method: str) -> float:
    """Milliseconds a batch, with all batches on their way at once."""
    inputs = Stacked("<f4", (INSTANCES, WIDTH), np.ones((INSTANCES, WIDTH), np.float32).tobytes())
    answered = threading.Semaphore(0)
    start = time.perf_counter()
    for number in range(BATCHES):
        servable.submit(RunBatch(number, method, INSTANCES, (inputs,)), lambda done: answered.release())
    for _ in range(BATCHES):
        answered.acquire()
    return (time.perf_counter() - start) / BATCHES * 1000


def main() -> None:
    for choice in ("off", "on"):
        print(f"MindSpore in one thread: {choice}", flush=True)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.overlap", "here"], env={**os.environ, ONE_THREAD: choice}, check=True
        )


def compare() -> None:
    models = WorkThread("MindSpore")
    with tempfile.TemporaryDirectory() as directory:
        models.call(lambda: export(Path(directory)))
        servable = load_servable(Path(directory), "busy", 0, Target(), models)
        found: dict[tuple[float, str], list[float]] = {
            (seconds, method): [] for seconds in INTERVALS for method in METHODS
        }
        for _ in range(ROUNDS):
            for (seconds, method), times in found.items():
                sys.setswitchinterval(seconds)
                times.append(measure(servable, method))
    print("switch interval  function  model  their sum   both  both/sum  best  (milliseconds a batch)")
    for seconds in INTERVALS:
        rounds = list(zip(*(found[seconds, method] for method in METHODS), strict=True))
        function, model, both = map(statistics.median, zip(*rounds, strict=True))
        ratio = statistics.median(both / (function + model) for function, model, both in rounds)
        best = statistics.median(max(function, model) / (function + model) for function, model, _ in rounds)
        print(
            f"{seconds * 1000:12.1f} ms  {function:8.2f}  {model:5.2f}  {function + model:9.2f}  {both:5.2f}"
            f"  {ratio:8.2f}  {best:4.2f}"
        )


if __name__ == "__main__":
    compare() if sys.argv[1:] else main()
