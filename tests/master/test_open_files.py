"""How many connections a master may have."""

import resource
import subprocess
import sys

import pytest

from mindspore_serving.master.open_files import share_of_a_door


@pytest.mark.parametrize(
    "files, share", [(1024, 462), (256, 78), (64, 1), (1 << 20, 524_238), (resource.RLIM_INFINITY, sys.maxsize)]
)
def test_a_door_has_half_of_what_the_process_does_not_need(
    files: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert share_of_a_door() == share


PROGRAM = """
import resource
from mindspore_serving.master.open_files import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
allow_many()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_master_takes_what_it_may_have() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "(300, 300)"
