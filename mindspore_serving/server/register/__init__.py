"""`mindspore_serving.server.register`: the 2.x home of the authoring API. See mindspore_serving/worker/register.py.

model   Model and declare_model, under the name of the original's module
"""

from mindspore_serving.server.register import model
from mindspore_serving.worker.register import (
    AclOptions,
    AscendDeviceInfo,
    Context,
    CPUDeviceInfo,
    GPUDeviceInfo,
    GpuOptions,
    Model,
    add_stage,
    call_postprocess,
    call_postprocess_pipeline,
    call_preprocess,
    call_preprocess_pipeline,
    call_servable,
    declare_model,
    declare_servable,
    register_method,
)

__all__ = [
    "AclOptions",
    "AscendDeviceInfo",
    "CPUDeviceInfo",
    "Context",
    "GPUDeviceInfo",
    "GpuOptions",
    "Model",
    "add_stage",
    "call_postprocess",
    "call_postprocess_pipeline",
    "call_preprocess",
    "call_preprocess_pipeline",
    "call_servable",
    "declare_model",
    "declare_servable",
    "model",
    "register_method",
]
