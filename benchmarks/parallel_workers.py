"""What num_parallel_workers gives a servable whose Python function is the slow part: instances a second, and ratios.

    python benchmarks/parallel_workers.py

Each number of workers is measured in turn, several times over, so that a slow moment of the machine hits all alike.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mindspore_serving import server
from mindspore_serving.client import Client

ROUNDS = 3
WORKERS = (1, 2, 3)
CALLS, INSTANCES = 60, 8
ADDRESS = "127.0.0.1:5733"
CONFIG = '''"""A preprocess that keeps one core busy for a few milliseconds."""
from mindspore_serving.server import register

def heavy(x):
    total = 0
    for i in range(60000):
        total += i * i
    return x + total % 2

@register.register_method(output_names=["y"])
def work(x):
    return register.add_stage(heavy, x, outputs_count=1)
'''


def measure(directory: str, workers: int) -> float:
    """Instances a second with so many workers."""
    server.start_servables(server.ServableStartConfig(directory, "heavy", num_parallel_workers=workers))
    server.start_grpc_server(ADDRESS)
    with Client(ADDRESS, "heavy", "work") as client:
        instances = [{"x": np.ones(2)}] * INSTANCES
        client.infer(instances)
        start = time.perf_counter()
        pending = [client.infer_async(instances) for _ in range(CALLS)]
        for call in pending:
            results = call.result()
            if not isinstance(results, list) or any("error" in result for result in results):
                raise RuntimeError(f"a call failed: {results}")
        seconds = time.perf_counter() - start
    server.stop()
    return CALLS * INSTANCES / seconds


def main() -> None:
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "heavy").mkdir()
        (Path(directory) / "heavy" / "servable_config.py").write_text(CONFIG)
        for _ in range(ROUNDS):
            for workers in WORKERS:
                rates[workers].append(measure(directory, workers))
    medians = {workers: statistics.median(found) for workers, found in rates.items()}
    print("workers  instances/s  ratio")
    for workers, rate in medians.items():
        print(f"{workers:7}  {rate:11.0f}  {rate / medians[WORKERS[0]]:5.2f}")


if __name__ == "__main__":
    main()
