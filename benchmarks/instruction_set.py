"""What the choice of CPU instructions gives a convolution model in a worker: milliseconds a call, and the ratio.

    python benchmarks/instruction_set.py

Both settings are measured in processes of their own, in turn, several times over. See worker/engine_settings.py.
"""

import os
import statistics
import subprocess
import sys

ROUNDS = 3
SETTINGS = {"chosen by the worker": None, "ONEDNN_MAX_CPU_ISA=ALL": "ALL"}
TRIAL = """
import sys, tempfile, time
from pathlib import Path
import numpy as np
import os
from mindspore_serving.worker.engine_settings import apply_environment, cpu_flags, default_settings
apply_environment(default_settings(os.environ, cpu_flags()), os.environ, sys.modules)
import mindspore as ms
from mindspore import nn
net = nn.SequentialCell(nn.Conv2d(1, 6, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2),
                        nn.Conv2d(6, 16, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten())
images = ms.Tensor(np.random.default_rng(1).standard_normal((16, 1, 32, 32)).astype(np.float32))
with tempfile.TemporaryDirectory() as folder:
    ms.export(net, images, file_name=f"{folder}/net.mindir", file_format="MINDIR")
    cell = nn.GraphCell(ms.load(f"{folder}/net.mindir"))
    for _ in range(3):
        cell(images).asnumpy()
    times = []
    for _ in range(30):
        start = time.perf_counter()
        cell(images).asnumpy()
        times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2] * 1000)
"""


def measure(setting: str | None) -> float:
    """Milliseconds a call of LeNet's convolutions, batch 16."""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    if setting is not None:
        environment["ONEDNN_MAX_CPU_ISA"] = setting
    done = subprocess.run([sys.executable, "-c", TRIAL], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(ROUNDS):
        for name, setting in SETTINGS.items():
            found[name].append(measure(setting))
    medians = {name: statistics.median(times) for name, times in found.items()}
    best = medians[next(iter(SETTINGS))]
    print(f"{'setting':24}  ms a call  ratio")
    for name, milliseconds in medians.items():
        print(f"{name:24}  {milliseconds:9.2f}  {milliseconds / best:5.1f}")


if __name__ == "__main__":
    main()
