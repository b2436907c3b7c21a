"""Runs the original's examples: `original_examples.py EXAMPLES MODELS RESULTS`, in a copy of its folder example/.

An example's models come from its own export scripts, run for CPU instead of Ascend, or else from MODELS. Its servers
are started as its documentation says, its clients run against them. One line of JSON for each goes to RESULTS.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

READY_SECONDS = 120.0
CLIENT_SECONDS = 120.0

# What an example is started with, each script with the line that it prints when it is ready; then the client's scripts.
DEPLOYMENTS: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], ...] = (
    (
        "2.x",
        (("serving_server.py", "RESTful server start success"),),
        ("serving_client.py", "serving_client_with_check.py"),
    ),
    ("1.2, one process", (("master_with_worker.py", "RESTful server start success"),), ("client.py",)),
    (
        "1.2, cluster",
        (("master.py", "Master server start success"), ("worker.py", "Worker registered at")),
        ("client.py", "client_mul_process.py"),
    ),
)
NEEDS_ASCEND = re.compile(r"distributed|pipeline_worker")


class Server:
    """A start script that runs until stop()."""

    def __init__(self, folder: Path, script: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, text: str) -> None:
        """Raises RuntimeError with its last line when it ends, or is silent, before it says this."""
        line, last = "", ""
        while text not in line:
            last = line or last
            try:
                next_line = self._lines.get(timeout=READY_SECONDS)
            except queue.Empty:
                raise RuntimeError(f"the server did not say '{text}', but: {last.strip()}") from None
            if next_line is None:
                raise RuntimeError(f"the server ended: {last.strip()}")
            line = next_line

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def export_models(folder: Path, models: Path) -> None:
    """Runs the example's export scripts; what they do not make is taken from `models`."""
    for script in sorted((folder / "export_model").glob("*.py")):
        subprocess.run([sys.executable, script.name, "False"], cwd=script.parent, capture_output=True, check=False)
    for config in folder.glob("*/servable_config.py"):
        for name in re.findall(r"\"([\w.]+\.mindir)\"", config.read_text()):
            place = config.parent / "1" / name
            place.parent.mkdir(exist_ok=True)
            if not place.is_file() and (models / name).is_file():
                shutil.copyfile(models / name, place)


def prepare(folder: Path) -> None:
    """Export scripts are for CPU then; a pipeline of mindspore.dataset has no more threads than there are cores."""
    for module in (folder / "export_model").rglob("*.py"):
        module.write_text(module.read_text().replace('device_target="Ascend"', 'device_target="CPU"'))
    cores = os.cpu_count() or 1
    for config in folder.glob("*/servable_config.py"):
        (config.parent / "1").mkdir(exist_ok=True)
        text = config.read_text()
        threads = r"(?<=num_parallel_workers=)\d+"
        config.write_text(re.sub(threads, lambda match: str(min(int(match[0]), cores)), text))


def run(folder: Path) -> Iterator[tuple[str, str]]:
    """The clients' names, each with what went wrong, or nothing."""
    for generation, servers, clients in DEPLOYMENTS:
        present = [client for client in clients if (folder / client).is_file()]
        if not present or not all((folder / script).is_file() for script, _ in servers):
            continue
        running: list[Server] = []
        try:
            for script, ready in servers:
                running.append(Server(folder, script))
                running[-1].wait_for(ready)
            for client in present:
                yield f"{folder.name} ({generation}): {client}", run_client(folder, client)
        except RuntimeError as error:
            yield f"{folder.name} ({generation})", str(error)
        finally:
            for server in reversed(running):
                server.stop()


def run_client(folder: Path, client: str) -> str:
    """What went wrong, or nothing."""
    try:
        ran = subprocess.run(
            [sys.executable, client], cwd=folder, text=True, capture_output=True, timeout=CLIENT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end after {CLIENT_SECONDS:.0f} seconds"
    if ran.returncode:
        return ran.stderr.strip().rpartition("\n")[2] or f"exit code {ran.returncode}"
    wrong = [line for line in ran.stdout.splitlines() if "'error'" in line or '"error_msg"' in line]
    return wrong[0] if wrong else ""


def main(examples: Path, models: Path, results: Path) -> None:
    for folder in sorted(entry for entry in examples.iterdir() if entry.is_dir()):
        if NEEDS_ASCEND.search(folder.name):
            continue
        prepare(folder)
        export_models(folder, models)
        for name, fault in run(folder):
            line = {"test": name, "outcome": "failed" if fault else "passed", "reason": fault[-300:]}
            with results.open("a") as file:
                file.write(json.dumps(line) + os.linesep)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:4]))
