"""What Python's garbage collector walks through in a process that serves: what has come since it began to.

The objects of a master itself, 80 thousand, are there for good, and each collection that walked them made every caller
wait for 60 ms and more. What serving leaves behind has no cycles, but for the transports that asyncio has for TLS.
"""

import gc

# New ones before the collector looks at them. Hundreds of requests under way have twenty each, and none of them is ever
# garbage: with Python's 700, looking took 4 % of a request's instructions.
_MANY = 20_000


def keep_what_is_here() -> None:
    """From here on the collector leaves alone what there is by now, and looks at the rest less often."""
    gc.collect()
    gc.freeze()
    first, *later = gc.get_threshold()
    gc.set_threshold(max(first, _MANY) if first else 0, *later)  # 0: somebody wants no collector
