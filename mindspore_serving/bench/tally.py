"""What a loop of calls has counted: latencies of good replies, errors by their text, how late it sent."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mindspore_serving.bench.histogram import Histogram

_MAX_TEXTS = 20
OTHER = "other errors"


@dataclass(slots=True)
class Tally:
    """Owned by one thread until that has ended."""

    latency: Histogram = field(default_factory=Histogram)  # of the calls with the right reply
    errors: Counter[str] = field(default_factory=Counter)  # text -> calls
    late: Histogram = field(default_factory=Histogram)  # how long after its moment an open loop's call was sent
    cpu_seconds: float = 0.0  # of the processes that sent
    seconds: float = 0.0  # from the first measured call to the last reply

    @property
    def calls(self) -> int:
        return self.latency.count + self.failed

    @property
    def failed(self) -> int:
        return self.errors.total()

    def fail(self, text: str, count: int = 1) -> None:
        """Counts calls that failed so. Texts beyond the first twenty are counted together."""
        self.errors[text if text in self.errors or len(self.errors) < _MAX_TEXTS else OTHER] += count

    def merge(self, others: Iterable["Tally"]) -> None:
        """Counts what the others have counted."""
        for other in others:
            self.latency.merge([other.latency])
            self.late.merge([other.late])
            self.cpu_seconds += other.cpu_seconds
            self.seconds = max(self.seconds, other.seconds)
            for text, count in other.errors.items():
                self.fail(text, count)
