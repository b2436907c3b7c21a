"""How a model should run on each type of device, as a servable_config.py says it: Context, device infos, old options.

Only the info of the device that a worker runs on matters there; the others are checked and wait for theirs. Options
are keyword-only, as in MindSpore Serving 2.x. All refusals are RuntimeErrors.
"""

from collections.abc import Mapping
from typing import Any

from mindspore_serving.cluster.arguments import check_bool, check_int, check_str
from mindspore_serving.cluster.errors import ServableError

_PRECISIONS = ("origin", "fp16")
_ASCEND_PRECISIONS = (
    "force_fp16",
    "force_fp32",
    "allow_fp32_to_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
)
_ASCEND_OPTIONS = (
    "insert_op_cfg_path",
    "input_format",
    "input_shape",
    "output_type",
    "precision_mode",
    "op_select_impl_mode",
    "fusion_switch_config_path",
    "buffer_optimize_mode",
)


class CPUDeviceInfo:
    """precision_mode: "origin" or "fp16"; MindSpore's CPU backend runs a model in its own precision either way."""

    device_type = "CPU"

    def __init__(self, **options: Any) -> None:
        self.options = _checked("cpu device info", options, ("precision_mode",))
        _check_choice("Cpu device info", self.options, "precision_mode", _PRECISIONS)

    @property
    def context_map(self) -> dict[str, str]:
        """The device's type and the options, as the original tells them."""
        return _context_map(self)


class GPUDeviceInfo:
    """precision_mode: "origin" or "fp16"."""

    device_type = "GPU"

    def __init__(self, **options: Any) -> None:
        self.options = _checked("gpu device info", options, ("precision_mode",))
        _check_choice("Gpu device info", self.options, "precision_mode", _PRECISIONS)

    @property
    def context_map(self) -> dict[str, str]:
        """The device's type and the options, as the original tells them."""
        return _context_map(self)


class AscendDeviceInfo:
    """precision_mode, and the options of ATC: insert_op_cfg_path, input_format, input_shape, output_type, ..."""

    device_type = "Ascend"

    def __init__(self, **options: Any) -> None:
        self.options = _checked("ascend device info", options, _ASCEND_OPTIONS)
        _check_choice("Ascend device info", self.options, "precision_mode", _ASCEND_PRECISIONS)

    @property
    def context_map(self) -> dict[str, str]:
        """The device's type and the options, as the original tells them."""
        return _context_map(self)


DeviceInfo = CPUDeviceInfo | GPUDeviceInfo | AscendDeviceInfo


class Context:
    """Threads of a model's operators, and a device info for each type of device.

    thread_num: threads that one operator may use. thread_affinity_core_list: the CPU cores that the worker keeps to.
    enable_parallel: operators may run side by side, which MindSpore does by itself; checked, and needed by nothing.
    """

    def __init__(
        self,
        *,
        thread_num: int | None = None,
        thread_affinity_core_list: list[int] | tuple[int, ...] | None = None,
        enable_parallel: bool | None = None,
    ) -> None:
        if thread_num is not None:
            check_int("thread_num", thread_num, 1)
        cores = thread_affinity_core_list
        if cores is not None:
            if not isinstance(cores, list | tuple):
                raise ServableError(
                    f"Parameter 'thread_affinity_core_list' should be tuple/list of int, but actually {type(cores)}"
                )
            for core in cores:
                check_int("thread_affinity_core_list", core)
        if enable_parallel is not None:
            check_bool("enable_parallel", enable_parallel)
        self.thread_num = thread_num
        self.cores = frozenset(cores or ())
        self.enable_parallel = enable_parallel
        self.device_infos: dict[str, DeviceInfo] = {}

    @property
    def model_context(self) -> "Context":
        """The original kept what was set in a second object of this name."""
        return self

    @property
    def thread_affinity_core_list(self) -> list[int]:
        """The cores, in order."""
        return sorted(self.cores)

    @property
    def device_list(self) -> list[dict[str, str]]:
        """The device infos' context maps, in the order in which they were appended."""
        return [info.context_map for info in self.device_infos.values()]

    def append_device_info(self, device_info: DeviceInfo) -> None:
        """Adds the info of one more type of device. Raises RuntimeError when there is one already."""
        if not isinstance(device_info, CPUDeviceInfo | GPUDeviceInfo | AscendDeviceInfo):
            raise ServableError(
                "Parameter 'device_info' should be instance of AscendDeviceInfo, GPUDeviceInfo or CPUDeviceInfo, "
                f"but actually {type(device_info)}"
            )
        kind = device_info.device_type
        if kind in self.device_infos:
            raise ServableError(f"Device info of type {kind.lower()} has already been appended")
        self.device_infos[kind] = device_info


class AclOptions:
    """The old spelling of AscendDeviceInfo, for the `options` of declare_servable."""

    def __init__(self, **options: Any) -> None:
        self.context = Context()
        self.context.append_device_info(AscendDeviceInfo(**options))


class GpuOptions:
    """The old spelling of GPUDeviceInfo. enable_trt_infer, of 1.2: MindSpore 2 has no TensorRT, and runs without it."""

    def __init__(self, *, enable_trt_infer: bool = False, **options: Any) -> None:
        check_bool("enable_trt_infer", enable_trt_infer)
        self.context = Context()
        self.context.append_device_info(GPUDeviceInfo(**options))


def context_of(options: Any, context: Any) -> Context | None:
    """What declare_model was given, as one Context; options are their old form, and count only where they are alone.

    Raises RuntimeError for anything else.
    """
    if context is not None:
        if not isinstance(context, Context):
            raise ServableError(f"Parameter 'context' should be Context, but actually {type(context)}")
        return context
    if options is None:
        return None
    if isinstance(options, Mapping):
        for key, value in options.items():
            check_str("options", key)
            check_str("options", value)
        options = AclOptions(**options)  # 1.2 took a dict of them
    if not isinstance(options, AclOptions | GpuOptions):
        raise ServableError(
            f"Parameter 'options' should be AclOptions, GpuOptions or dict of str, but actually {type(options)}"
        )
    return options.context


def _context_map(info: DeviceInfo) -> dict[str, str]:
    return {"device_type": info.device_type.lower(), **info.options}


def _checked(what: str, options: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    for option, value in options.items():
        if option not in known:
            raise ServableError(f"Set {what} failed, unsupported option {option}")
        check_str(option, value)
    return dict(options)


def _check_choice(what: str, options: Mapping[str, Any], option: str, choices: tuple[str, ...]) -> None:
    if option in options and options[option] not in choices:
        allowed = ", ".join(f"'{choice}'" for choice in choices)
        raise ServableError(f"{what} '{option}' can only be {allowed}")
