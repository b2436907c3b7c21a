"""Every gRPC service of a master."""

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.health_service import HEALTH, health_service
from mindspore_serving.master.ms_service import ms_service
from mindspore_serving.master.reflection_service import REFLECTION, reflection_services
from mindspore_serving.master.service_table import ServiceTable
from mindspore_serving.master.v2_grpc import v2_service


def services(desk: FrontDesk, memory: ClientMemory) -> ServiceTable:
    """MSService and the Open Inference Protocol, and what tells of them."""
    models = {**ms_service(desk), **v2_service(desk, memory)}
    return {
        **models,
        **health_service(desk, tuple(models)),
        **reflection_services((*models, HEALTH, *REFLECTION)),
    }
