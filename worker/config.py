"""Every setting of a worker, read once when it starts."""

import os
from dataclasses import dataclass
from pathlib import Path

from mindspore_serving.cluster.addresses import Address, parse_address
from mindspore_serving.cluster.settings import LOG_LEVELS, choice, integer, seconds, setting

DIRECTORY_VARIABLE = "MINDSPORE_SERVING_DIRECTORY"


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a worker is told."""

    servable: str = setting("NAME_OR_PATH", "the servable: a name below --directory, or the path of its folder", str)
    directory: str | None = setting(
        "DIR", f"where servables stand (default: ${DIRECTORY_VARIABLE}, else the current directory)", str, None
    )
    device: int = setting("N", "the device id", integer("--device", 0, 65535), 0)
    device_type: str = setting("TYPE", "CPU, GPU or Ascend", choice("--device-type", "CPU", "GPU", "Ascend"), "CPU")
    version: int = setting("N", "the version to load; 0 is the newest", integer("--version", 0, 2**31 - 1), 0)
    master: Address = setting(
        "HOST:PORT", "the control port of the master", lambda text: parse_address(text, "--master", default_host=None)
    )
    drain_seconds: float = setting(
        "S", "when told to stop, finish what is open for at most so long", seconds("--drain-seconds"), 30.0
    )
    log_level: str = setting("LEVEL", "debug, info, warning or error", choice("--log-level", *LOG_LEVELS), "info")

    def place(self) -> tuple[Path, str]:
        """The folder that servables stand in, and this servable's name."""
        named = Path(self.servable)
        if named.name == self.servable and self.servable not in ("", ".", ".."):
            return Path(self.directory or os.environ.get(DIRECTORY_VARIABLE) or "."), self.servable
        path = (Path(self.directory or ".") / named).resolve()
        return path.parent, path.name
