"""What a request costs the master, in memory: the instructions of its whole path, against a yardstick; and CPU time.

    python -m benchmarks.hot_path

The bytes of eight calls at once go through HTTP/2, gRPC's messages, the front desk, the dispatcher and the codec to a
worker in memory, whose reply goes all the way back. The yardstick is asyncio's futures: of what was tried (protobuf,
msgpack, json, sorting, Python's own objects) the ratio to it varies least with how Python was built.
"""

from benchmarks.instructions import counted
from benchmarks.memory_path import CALLS, MOST_ROUNDS, one_instance, sixteen_instances, yardstick
from mindspore_serving.cluster.errors import SetupError

_TRIES = 20


def in_yardsticks() -> dict[str, float]:
    """Futures whose instructions are those of one request, of one instance and of sixteen. Raises SetupError."""
    rounds = counted(one_instance, sixteen_instances, yardstick)
    per_future = rounds.pop(yardstick.__qualname__)
    return {name: cost / per_future for name, cost in rounds.items()}


def _microseconds() -> float:
    return one_instance(MOST_ROUNDS) / (CALLS * MOST_ROUNDS) * 1e6


def main() -> None:
    """Prints them."""
    print(f"{min(_microseconds() for _ in range(_TRIES)):.1f} us of CPU a request without sockets (best of {_TRIES})")
    try:
        for name, ratio in in_yardsticks().items():
            print(f"{name}: instructions of {ratio:.2f} futures a request")
    except SetupError as error:
        print(error)


if __name__ == "__main__":
    main()
