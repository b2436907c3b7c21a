"""Starts a master, a worker of the judged servable, and a judge: `python -m tests.judges.run INTERPRETER SCRIPT`.

What follows the script are more options of the master, such as `--grpc-engine grpcio`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.processes import ROOT, free_port, processes

HERE = Path(__file__).resolve().parent
JUDGE_SECONDS = 120.0
MEMORY = ("--shared-memory", "*")  # of whatever name a judge's client gives it
Front = Callable[[list[str]], AbstractContextManager[list[str]]]  # both doors' addresses -> what clients call instead


def judge(
    interpreter: str, script: str, options: Sequence[str], folder: Path, *arguments: str, front: Front = nullcontext
) -> int:
    """The exit code of the judge's script, which gets both doors' addresses, and `arguments`.

    `folder` is for what is served, `options` are the master's. `front`: what stands before the doors.
    """
    shutil.copy(ROOT / "examples" / "add" / "export_model.py", folder)
    subprocess.run([sys.executable, str(folder / "export_model.py")], check=True, capture_output=True)
    (folder / "judged").mkdir()
    shutil.move(folder / "add" / "1", folder / "judged" / "1")
    shutil.copy(HERE / "servable_config.py", folder / "judged")
    doors = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    control = str(free_port())
    with processes() as group:
        master = group.start(
            "-m", "master", "--grpc", doors[0], "--rest", doors[1], "--ctrl", control, *MEMORY, *options
        )
        master.wait_for("RESTful server start success")
        place = ("--directory", str(folder), "--master", f"127.0.0.1:{control}")
        worker = group.start("-m", "worker", "--servable", "judged", *place)
        worker.wait_for("Worker registered at")
        alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # without our packages
        with front(doors) as seen:
            command = [interpreter, str(HERE / script), *seen, *arguments]
            code = subprocess.run(command, timeout=JUDGE_SECONDS, env=alone).returncode
        ends = (worker.stop(), master.stop())
        if "Traceback" in master.output or any(ends):
            print(f"exit codes {ends} of worker and master\n{master.output}", file=sys.stderr)
            return 1
    return code


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(judge(sys.argv[1], sys.argv[2], sys.argv[3:], Path(scratch)))
