"""A master that ends with the process that holds its standard input, so that nothing is left behind even by kill -9."""

import os
import signal
import sys
import threading

from mindspore_serving.master.__main__ import main


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass  # what comes is nobody's; only the end counts
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_watch_stdin, name="stdin", daemon=True).start()
    sys.exit(main())
