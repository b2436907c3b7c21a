"""What Python's garbage collector walks through in a process that serves: what has come since it began to.

The objects of a master itself, 80 thousand, are there for good, and each collection that walked them made every caller
wait for 60 ms and more. What serving leaves behind has no cycles, but for the transports that asyncio has for TLS.
"""

import gc


def keep_what_is_here() -> None:
    """From here on the collector leaves alone what there is by now."""
    gc.collect()
    gc.freeze()
