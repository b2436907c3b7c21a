"""What the commands share: lines on standard output, and --help."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_serving.command_line import parse
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.operator.config import UpConfig
from mindspore_serving.worker.config import WorkerConfig
from tests.processes import ROOT

LINES = "print('one', 1); print('two', flush=True)"
WHOLE = "from mindspore_serving.command_line import write_whole_lines; write_whole_lines()"


def written(program: str, unbuffered: str) -> list[bytes]:
    """What each write of a program's to its standard output wrote."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        subprocess.run(
            [sys.executable, "-c", program], stdout=theirs.fileno(), env=environment, cwd=ROOT, check=True, timeout=60
        )
        theirs.close()
        return list(iter(lambda: ours.recv(4096), b""))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_leaves_by_one_write(unbuffered: str) -> None:
    assert written(f"{WHOLE}; {LINES}", unbuffered) == [b"one 1\n", b"two\n"]


def test_python_alone_may_write_it_in_parts() -> None:
    assert len(written(LINES, "1")) > 2


def test_a_report_that_cannot_be_written_fails_in_one_line(tmp_path: Path) -> None:
    keygen = [sys.executable, "-m", "mindspore_serving", "keygen", str(tmp_path / "keys")]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(keygen, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("config", [MasterConfig, WorkerConfig, UpConfig])
def test_help_tells_a_default_once_and_as_it_would_be_given(config: type, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(config, "prog", "", ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert not re.search(r"\(default: [^)]*\) \(default", told)
    assert not re.search(r"\(default: [^)]*\(", told)
