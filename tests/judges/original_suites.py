"""Runs the original's own tests and examples against this project, and prints what became of them.

    python tests/judges/original_suites.py DIR

DIR is a checkout of github.com/mindspore-ai/serving: branch r1.2, or r2.0 (or any release between), as it is. Nothing
in it is changed: a copy is run. What the copy is given, and every known difference, is told in docs/compatibility.md.
Needs `pip install requests psutil easydict` beside '.[dev]'. It takes about ten minutes, on ports that the original
chose (5500 and others): on a machine where they are taken, run it under `unshare -rn`, with `ip link set lo up` first.
Exit code: 0 when all that failed is known, 1 otherwise, 2 when it could not begin.
"""

import argparse
import contextlib
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TESTS = Path("tests/ut/python")
PACKAGES = ("easydict", "psutil", "requests")  # that the tests and examples import, besides ours
PORT = re.compile(r"\b(?:1500|4500|5500|6500|6600|7600|15500)\b")  # that they listen on
MODEL_NAME = re.compile(r"tensor_(?:add|sub)(?:_\d_\d)?\.mindir|resnet50_1b_\w+\.mindir|lenet\.mindir")


class CannotBegin(Exception):
    """Something is missing; the text says what to do."""


@dataclass(frozen=True)
class Outcome:
    """Of one test or example. known: why it differs, when that is known."""

    test: str
    outcome: str
    reason: str
    known: str | None


def read_sources(checkout: Path) -> str:
    """All the Python code that will be run. Raises CannotBegin when there is none."""
    if not checkout.is_dir():
        raise CannotBegin(f"there is no directory '{checkout}'")
    if not (checkout / TESTS / "tests").is_dir() and not (checkout / "example").is_dir():
        what = f"has neither {TESTS}/tests nor example: it is no checkout of mindspore-ai/serving"
        raise CannotBegin(f"'{checkout}' {what}")
    files = [*(checkout / TESTS).rglob("*.py"), *(checkout / "example").rglob("*.py")]
    return "\n".join(file.read_text() for file in files)


def check_machine(sources: str) -> None:
    """Raises CannotBegin when a package is missing, or a port is taken."""
    imported = [name for name in PACKAGES if re.search(rf"^\s*(?:import|from) {name}\b", sources, re.MULTILINE)]
    missing = [name for name in imported if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotBegin(f"the original's tests need more packages: pip install {' '.join(missing)}")
    for port in sorted({int(port) for port in PORT.findall(sources)}):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotBegin(f"the original's tests use port {port}: {error.strerror}") from error


def environment(work: Path) -> dict[str, str]:
    """Of every program that is run: this project, and names that newer libraries have dropped."""
    shims = work / "shims"
    shims.mkdir(exist_ok=True)
    shutil.copyfile(HERE / "original_shims.py", shims / "sitecustomize.py")
    path = os.pathsep.join([str(shims), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "ORIGINAL_MODELS": str(work / "models")}


def export_models(sources: str, work: Path, env: Mapping[str, str]) -> None:
    """The models that tests and examples name. Raises CannotBegin."""
    names = sorted(set(MODEL_NAME.findall(sources)))
    if not names:
        return
    command = [sys.executable, str(HERE / "original_models.py"), str(work / "models"), *names]
    made = subprocess.run(command, env=env, cwd=work, text=True, capture_output=True, check=False)
    if made.returncode:
        raise CannotBegin(f"models cannot be exported: {made.stderr.strip().rpartition(os.linesep)[2]}")


def run_file(work: Path, file: Path, env: Mapping[str, str], test_seconds: float, file_seconds: float) -> Path:
    """Runs one test file in a folder of its own. Returns the file with the results."""
    place = work / file.stem
    shutil.copytree(file.parent.parent, place, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(HERE / "original_conftest.py", place / "tests" / "conftest.py")
    results = work / f"{file.stem}.results"
    more = {"ORIGINAL_RESULTS": str(results), "ORIGINAL_TEST_SECONDS": str(test_seconds)}
    if "GLOG_v" not in file.read_text():
        # runtest.sh sets GLOG_v=1, and a test looks into the logs; MindSpore's own, which its stub had not, stay out.
        more["MS_SUBMODULE_LOG_v"] = "{SERVING:1}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name]
    _run(command, place / "tests", {**env, **more}, work / f"{file.stem}.log", file_seconds)
    return results


def run_examples(work: Path, examples: Path, env: Mapping[str, str], seconds: float) -> Path:
    """Runs all examples. Returns the file with the results."""
    shutil.copytree(examples, work / "example")
    results = work / "examples.results"
    command = [sys.executable, str(HERE / "original_examples.py")]
    command += [str(work / "example"), str(work / "models"), str(results)]
    _run(command, work, env, work / "examples.log", seconds)
    return results


def _run(command: list[str], cwd: Path, env: Mapping[str, str], log: Path, seconds: float) -> None:
    with log.open("w") as output:
        # A session of its own, so that what the tests have left behind can be ended with them.
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read_results(results: Path, file: str, differences: Mapping[str, Mapping[str, str]]) -> Iterator[Outcome]:
    """The last that is known of each test."""
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    if not lines:
        lines = [
            {
                "test": "(the file itself)",
                "outcome": "failed",
                "reason": f"nothing ran: --work DIR keeps {results.stem}.log",
            }
        ]
    for line in {line["test"]: line for line in lines}.values():
        name = f"{file}::{line['test']}"
        known = [
            why
            for why, tests in differences.items()
            for test, text in tests.items()
            if fnmatch.fnmatchcase(name, test) and text in line["reason"]
        ]
        good = line["outcome"] in ("passed", "skipped")
        yield Outcome(line["test"], line["outcome"], line["reason"], None if good or not known else known[0])


def report(file: str, outcomes: list[Outcome]) -> int:
    """Prints a file's line and what differs. Returns how many of its failures are not known."""
    bad = [outcome for outcome in outcomes if outcome.outcome not in ("passed", "skipped")]
    unknown = [outcome for outcome in bad if outcome.known is None]
    counts = (len(outcomes), len(outcomes) - len(bad), len(bad) - len(unknown), len(unknown))
    print(f"{file:34} " + " ".join(f"{count:7}" for count in counts), flush=True)
    for outcome in bad:
        print(f"    {outcome.test}: {outcome.known or f'{outcome.outcome}: {outcome.reason}'}", flush=True)
    return len(unknown)


def judge(arguments: argparse.Namespace, work: Path) -> int:
    """Returns how many tests and examples failed for no known reason. Raises CannotBegin."""
    checkout = arguments.checkout.resolve()
    sources = read_sources(checkout)
    files = sorted((checkout / TESTS / "tests").glob("test_*.py"))
    files = [file for file in files if fnmatch.fnmatch(file.name, arguments.only)]
    has_examples = (checkout / "example").is_dir() and fnmatch.fnmatch("examples", arguments.only)
    if not files and not has_examples:
        raise CannotBegin(f"--only {arguments.only} is no test file of '{checkout}', nor 'examples'")
    check_machine(sources)
    env = environment(work)
    export_models(sources, work, env)
    differences = json.loads((HERE / "original_differences.json").read_text())
    print(f"{'file':34} " + " ".join(f"{word:>7}" for word in ("tests", "passed", "known", "failed")), flush=True)
    failed = 0
    for file in files:
        results = run_file(work, file, env, arguments.test_seconds, arguments.file_seconds)
        failed += report(file.name, list(read_results(results, file.name, differences)))
    if has_examples:
        results = run_examples(work, checkout / "example", env, arguments.file_seconds)
        failed += report("examples", list(read_results(results, "examples", differences)))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the original's own tests and examples against this project.")
    parser.add_argument("checkout", type=Path, metavar="DIR", help="a checkout of mindspore-ai/serving")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="of file names, such as test_grpc*; or: examples"
    )
    parser.add_argument("--test-seconds", type=float, default=90.0, metavar="N", help="limit of a test (%(default)s)")
    parser.add_argument("--file-seconds", type=float, default=1500.0, metavar="N", help="limit of a file (%(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the copies and logs here, in a new folder")
    arguments = parser.parse_args()
    try:
        if arguments.work is None:
            with tempfile.TemporaryDirectory(prefix="original-") as work:
                return 1 if judge(arguments, Path(work)) else 0
        arguments.work.mkdir(parents=True)
        return 1 if judge(arguments, arguments.work.resolve()) else 0
    except CannotBegin as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
    except FileExistsError:
        print(f"{Path(sys.argv[0]).name}: --work {arguments.work} exists: name a new folder", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
