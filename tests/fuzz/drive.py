"""Runs one target with Atheris, which steers inputs to code not seen yet: `python -m tests.fuzz.drive NAME SECONDS`.

Ends with code 0, or with the input that is a fault in a file `crash-...` of the current folder.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

_SLOWEST_SECONDS = 10  # for one input
_MOST_MEGABYTES = 4096  # of memory
_LONGEST = 4096  # bytes of an input


def main(name: str, seconds: str) -> None:
    """Does not return: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")  # only make fuzz installs it
    with atheris.instrument_imports(include=["mindspore_serving", "tests.fuzz", "hpack"]):
        target = importlib.import_module(f"tests.fuzz.{name}")
    target.run(target.SEEDS[0])  # what is imported or started with the first input takes none of its time
    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(target.SEEDS):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-timeout={_SLOWEST_SECONDS}", f"-rss_limit_mb={_MOST_MEGABYTES}"]
    atheris.Setup(
        [name, *options, f"-max_len={_LONGEST}", "-print_final_stats=1", "-verbosity=1", str(corpus)], target.run
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
