"""The judge of the original's suites, on a tiny tree that looks like the original's; and what is known to differ."""

import json
from pathlib import Path

import pytest

from tests.processes import ROOT, Processes

JUDGE = "tests/judges/original_suites.py"

COMMON = """
from pathlib import Path


class ServingTestBase:
    def init_servable_with_servable_config(self, file):
        self.model_file_name_path = file
        Path(file).write_text("model content")
"""

TESTS = {
    "test_models.py": """
import threading
from pathlib import Path

from common import ServingTestBase


def test_a_model_is_real(tmp_path):
    ServingTestBase().init_servable_with_servable_config(str(tmp_path / "tensor_add_1_2.mindir"))
    assert len((tmp_path / "tensor_add_1_2.mindir").read_bytes()) > 100


def test_other_files_stay(tmp_path):
    ServingTestBase().init_servable_with_servable_config(str(tmp_path / "tensor_add_error.mindir"))
    assert (tmp_path / "tensor_add_error.mindir").read_text() == "model content"


def test_names_that_are_gone():
    import numpy

    assert numpy.array([0, 1]).astype(numpy.bool).tolist() == [False, True]


def test_too_long():
    threading.Event().wait()


def test_wrong():
    assert 1 == 2, "one is not two"
""",
    "test_python_parallel.py": """
import os


def check_infer_log():
    return os.environ["MS_SUBMODULE_LOG_v"] != "{SERVING:1}"


def test_python_parallel_tiny_success():
    assert check_infer_log()
""",
    "test_serving_log.py": """
import os


def test_that_sets_glog_v_itself():
    assert "GLOG_v" not in os.environ and "MS_SUBMODULE_LOG_v" not in os.environ
""",
    "test_distributed_worker.py": """
from mindspore_serving.server import distributed


def test_distributed_servable():
    distributed.declare_servable(rank_size=8, stage_size=1)
""",
    "test_ends.py": """
import os


def test_that_ends_its_process():
    os._exit(0)
""",
}

EXAMPLE = {
    "serving_server.py": """
import signal
print("Serving: Serving RESTful server start success, listening on nothing", flush=True)
signal.sigwait({signal.SIGTERM})
""",
    "serving_client.py": "print([{'y': 3}])",
    "serving_client_with_check.py": "print({'error': 'servable is not available'})",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Like a checkout of the original, but tiny."""
    tests, example = tmp_path / "tree/tests/ut/python/tests", tmp_path / "tree/example/tiny"
    for folder, files in ((tests, {"common.py": COMMON, **TESTS}), (example, EXAMPLE)):
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    for folder in (example.parent / "matmul_distributed", example / "export_model"):
        folder.mkdir()
    return tmp_path / "tree"


def test_every_outcome_is_told_and_known_differences_are_told_apart(run: Processes, tree: Path) -> None:
    judge = run.start(JUDGE, str(tree), "--test-seconds", "2")
    judge.wait_for("serving_client_with_check.py: failed")  # a while after the start: it exports models, runs pytest
    assert judge.wait() == 1, judge.output
    lines = [" ".join(line.split()) for line in judge.output.splitlines()]
    assert lines == [
        "file tests passed known failed",
        "test_distributed_worker.py 1 0 1 0",
        "test_distributed_servable: no distributed servables",
        "test_ends.py 1 0 0 1",
        "test_that_ends_its_process: ended its process or ran out of time:",
        "test_models.py 5 3 0 2",
        "test_too_long: failed: TimeoutError: the test took more than 2 seconds",
        "test_wrong: failed: AssertionError: one is not two assert 1 == 2",
        "test_python_parallel.py 1 0 1 0",
        "test_python_parallel_tiny_success: few instances go to one worker",
        "test_serving_log.py 1 1 0 0",
        "examples 2 1 0 1",
        "tiny (2.x): serving_client_with_check.py: failed: {'error': 'servable is not available'}",
    ]
    assert not list(tree.rglob("*.mindir"))


def test_known_differences_alone_are_no_failure(run: Processes, tree: Path, tmp_path: Path) -> None:
    (tree / "tests/ut/python/tests/test_models.py").unlink()  # and with it all need of models
    judge = run.start(JUDGE, str(tree), "--only", "test_python_parallel*", "--work", str(tmp_path / "work"))
    assert judge.wait() == 0, judge.output
    assert (tmp_path / "work" / "test_python_parallel.log").is_file()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["nowhere"], "there is no directory '{root}/nowhere'"),
        (
            ["docs"],
            "'{root}/docs' has neither tests/ut/python/tests nor example: it is no checkout of mindspore-ai/serv",
        ),
        (["docs", "--work", "docs"], "--work docs exists: name a new folder"),
    ],
)
def test_what_cannot_be_judged_is_said_in_one_line(run: Processes, arguments: list[str], text: str) -> None:
    judge = run.start(JUDGE, *arguments)
    assert judge.wait() == 2
    assert judge.output.startswith(f"original_suites.py: {text.format(root=ROOT)}")
    assert judge.output.count("\n") == 1


def test_a_part_that_is_not_there_is_named(run: Processes, tree: Path) -> None:
    judge = run.start(JUDGE, str(tree), "--only", "test_nothing.py")
    assert judge.wait() == 2
    assert judge.output == f"original_suites.py: --only test_nothing.py is no test file of '{tree}', nor 'examples'\n"


def test_every_known_difference_is_documented() -> None:
    documented = (ROOT / "docs/compatibility.md").read_text()
    differences = json.loads((ROOT / "tests/judges/original_differences.json").read_text())
    assert [reason for reason in differences if f"| {reason} |" not in documented] == []
