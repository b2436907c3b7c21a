"""The findings of a run, as text for people and as JSON for programs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindspore_serving.bench.tally import Tally
from mindspore_serving.cluster.errors import SetupError

PERCENTILES = (50, 90, 99)
_LATE_SECONDS = 0.005
_BUSY_SHARE = 0.9  # of a core, a process of load


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """One run. `loop` says what sent, and how."""

    loop: str
    engine: str
    instances: int
    request_bytes: int
    processes: int
    tally: Tally

    @property
    def calls_per_second(self) -> float:
        """Good replies a second."""
        return self.tally.latency.count / self.tally.seconds if self.tally.seconds else 0.0

    def milliseconds(self) -> dict[str, float]:
        """The latency of good replies: mean, percentiles, maximum."""
        latency = self.tally.latency
        found = {"mean": latency.mean_seconds, **{f"p{p}": latency.percentile(p) for p in PERCENTILES}}
        return {name: round(seconds * 1000, 3) for name, seconds in {**found, "max": latency.max_seconds}.items()}

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the unit in each name."""
        return {
            "loop": self.loop,
            "engine": self.engine,
            "instances_a_request": self.instances,
            "request_bytes": self.request_bytes,
            "calls": self.tally.calls,
            "errors": dict(self.tally.errors),
            "seconds": round(self.tally.seconds, 3),
            "latency_milliseconds": self.milliseconds(),
            "calls_per_second": round(self.calls_per_second, 1),
            "instances_per_second": round(self.calls_per_second * self.instances, 1),
            "load_cpu_seconds": round(self.tally.cpu_seconds, 3),
            "late_milliseconds_p99": round(self.tally.late.percentile(99) * 1000, 3),
        }

    def as_text(self) -> str:
        """Some lines for people."""
        latency = "  ".join(f"{name} {value:.2f}" for name, value in self.milliseconds().items())
        rate = self.calls_per_second
        plural = "s" if self.instances > 1 else ""
        lines = [
            f"{self.loop}, {self.engine}: {self.instances} instance{plural} in a request of {self.request_bytes} bytes",
            f"calls       {self.tally.calls} in {self.tally.seconds:.1f} s",
            f"errors      {self.tally.failed}",
            *(f"            {count} x {text}" for text, count in self.tally.errors.most_common()),
            f"latency ms  {latency}",
            f"throughput  {rate:.0f} calls/s, {rate * self.instances:.0f} instances/s",
            *self._warnings(),
        ]
        return "\n".join(lines)

    def _warnings(self) -> list[str]:
        late = self.tally.late.percentile(99)
        busy = self.tally.cpu_seconds / (self.tally.seconds * self.processes) if self.tally.seconds else 0.0
        if late > _LATE_SECONDS:
            return [
                f"note        calls were sent late, p99 {late * 1000:.1f} ms (latency counts from the right moment): "
                "the load needs more --processes, or cores of its own"
            ]
        if busy > _BUSY_SHARE:
            return ["note        the load was the bottleneck: more --processes, or h2load, get more out of the server"]
        return []


def write_json(findings: Findings, file: Path) -> None:
    """Raises SetupError when the file cannot be written."""
    try:
        file.write_text(json.dumps(findings.as_json(), indent=2) + "\n")
    except OSError as error:
        raise SetupError(f"--json {file} cannot be written: {error.strerror}") from error
