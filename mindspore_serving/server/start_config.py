"""ServableStartConfig of MindSpore Serving 2.x: which servable, on which devices; and how several of them merge."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mindspore_serving.cluster.arguments import check_int, check_str
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.log import worker_level
from mindspore_serving.worker.config_module import CONFIG_FILE
from mindspore_serving.worker.target import Target, check_decryption, read_device_type
from mindspore_serving.worker.versions import find_versions
from mindspore_serving.worker_process import WorkerSpec


class ServableStartConfig:
    """A servable to start: one worker process for each device, and more of them up to `num_parallel_workers`.

    servable_directory: the folder that holds the servable's folder; a relative one starts at the script's own folder.
    device_ids: an int or several; version_number: 0 is the newest. dec_key: 16, 24 or 32 bytes, for encrypted MindIR
    files. All become read-only properties. Raises RuntimeError for arguments that cannot be.
    """

    def __init__(
        self,
        servable_directory: str,
        servable_name: str,
        device_ids: int | Sequence[int] | None = None,
        version_number: int = 0,
        device_type: str | None = None,
        num_parallel_workers: int = 0,
        dec_key: bytes | None = None,
        dec_mode: str = "AES-GCM",
    ) -> None:
        check_str("servable_directory", servable_directory)
        check_str("servable_name", servable_name)
        check_int("version_number", version_number)
        check_int("num_parallel_workers", num_parallel_workers, 0, 64)
        check_decryption(dec_key, dec_mode)
        self._kind = read_device_type(device_type)
        self._servable_directory = str((_script_folder() / servable_directory).resolve())
        self._servable_name = servable_name
        self._device_ids = _device_ids(device_ids)
        self._version_number = version_number
        self._device_type = device_type
        self._num_parallel_workers = num_parallel_workers
        self._dec_key = dec_key
        self._dec_mode = dec_mode
        if not self._device_ids and not num_parallel_workers:
            self._num_parallel_workers = 1

    @property
    def servable_directory(self) -> str:
        return self._servable_directory

    @property
    def servable_name(self) -> str:
        return self._servable_name

    @property
    def device_ids(self) -> tuple[int, ...]:
        return self._device_ids

    @property
    def version_number(self) -> int:
        return self._version_number

    @property
    def device_type(self) -> str | None:
        return self._device_type

    @property
    def num_parallel_workers(self) -> int:
        return self._num_parallel_workers

    @property
    def dec_key(self) -> bytes | None:
        return self._dec_key

    @property
    def dec_mode(self) -> str:
        return self._dec_mode

    @property
    def kind(self) -> str:
        """The device type in one spelling; None is CPU."""
        return self._kind


def merge_config(configs: Iterable[ServableStartConfig]) -> list[ServableStartConfig]:
    """One config for each servable and version, with the version that 0 stands for. Raises SetupError.

    Device ids are united, the larger num_parallel_workers counts.
    """
    configs = list(configs)
    _check_directories(configs)
    groups: dict[tuple[str, int], list[ServableStartConfig]] = {}
    for config in configs:
        groups.setdefault((config.servable_name, _resolved_version(config)), []).append(config)
    return [_merge(group, name, version) for (name, version), group in groups.items()]


def worker_specs(configs: Iterable[ServableStartConfig]) -> list[WorkerSpec]:
    """The workers that these configs ask for together. Raises SetupError."""
    specs: list[WorkerSpec] = []
    for config in merge_config(configs):
        extras = config.num_parallel_workers - len(config.device_ids)
        if extras > 0 and config.kind != "CPU":
            raise SetupError(
                f"num_parallel_workers of servable name {config.servable_name} is more than its device ids: workers "
                f"without a device are possible on CPU only, and its device type is {config.kind}"
            )
        places = [(device, None) for device in config.device_ids] + [(0, extra) for extra in range(extras)]
        for device, number in places:
            target = Target(device_type=config.kind, device_id=device, dec_key=config.dec_key, dec_mode=config.dec_mode)
            specs.append(
                WorkerSpec(
                    slot=len(specs),
                    directory=Path(config.servable_directory),
                    name=config.servable_name,
                    version=config.version_number,
                    target=target,
                    extra=number,
                    log_level=worker_level(),
                )
            )
    return specs


def _merge(group: list[ServableStartConfig], name: str, version: int) -> ServableStartConfig:
    if len({(config.dec_key, config.dec_mode) for config in group}) > 1:
        raise SetupError(f"The dec key or dec mode of servable name {name} is different in multiple configurations.")
    if len({config.kind for config in group}) > 1:
        raise SetupError(f"The device type of servable name {name} is different in multiple configurations.")
    first = group[0]
    return ServableStartConfig(
        first.servable_directory,
        name,
        sorted({device for config in group for device in config.device_ids}),
        version,
        first.device_type,
        max(config.num_parallel_workers for config in group),
        first.dec_key,
        first.dec_mode,
    )


def _resolved_version(config: ServableStartConfig) -> int:
    """The version that a worker would choose; a servable without version folders has none, or its worker says why."""
    folder = Path(config.servable_directory) / config.servable_name
    if not folder.is_dir():
        raise SetupError(f"Check servable config failed, directory '{folder}' not exist")
    if not (folder / CONFIG_FILE).is_file():
        raise SetupError(f"Check servable config failed, file '{folder / CONFIG_FILE}' not exist")
    return config.version_number or max(find_versions(folder), default=0)


def _check_directories(configs: Iterable[ServableStartConfig]) -> None:
    known: dict[str, str] = {}
    for config in configs:
        name, directory = config.servable_name, config.servable_directory
        if known.setdefault(name, directory) != directory:
            raise SetupError(f"The servable directory of servable name {name} is different in multiple configurations")


def _device_ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    items = (value,) if isinstance(value, int) else value
    if not isinstance(items, list | tuple) or any(isinstance(i, bool) or not isinstance(i, int) for i in items):
        raise SetupError(f"Parameter 'device_ids' should be int or tuple/list of int, but actually {type(value)}")
    for number, item in enumerate(items):
        if item < 0:
            raise SetupError(f"The item value '{item}' in parameter 'device_ids' should be >= 0")
        if item in items[:number]:
            raise SetupError(f"The item value '{item}' in parameter 'device_ids' should not be repeated")
    return tuple(items)


def _script_folder() -> Path:
    return Path(sys.argv[0] or ".").resolve().parent
