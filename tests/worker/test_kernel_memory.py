"""The kernels read and write nothing but what is theirs, and their threads wait for each other: a compiler watches."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT

SETS = 3  # of instructions, where there are most
LACKING = 77  # kernel_chances.c
SANITIZERS = {"address,undefined": (1, 2), "thread": (3,)}  # with so many threads


def built(folder: Path, sources: list[Path], sanitizer: str) -> Path:
    program = folder / sanitizer.partition(",")[0]
    options = ["-O1", "-g", "-pthread", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    command = ["gcc", *options, "-o", str(program), *map(str, sources), "-lm"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return program


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_no_sanitizer_finds_anything(tmp_path: Path, sanitizer: str) -> None:
    (tmp_path / "nothing.c").write_text("int main(void) { return 0; }\n")
    try:
        subprocess.run([built(tmp_path, [tmp_path / "nothing.c"], sanitizer)], check=True, timeout=60)
    except subprocess.CalledProcessError:
        pytest.skip(f"gcc's sanitizer '{sanitizer}' does not work here")
    sources = [ROOT / "tests" / "worker" / "kernel_chances.c", *(ROOT / "worker" / "kernels").glob("*.c")]
    program = built(tmp_path, sources, sanitizer)
    ended = 0
    for number in range(SETS):
        for threads in SANITIZERS[sanitizer]:
            done = subprocess.run(
                [program, str(number), str(threads), "7"], capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode in (0, LACKING), done.stderr
            ended += done.returncode == 0
    assert ended > 0
