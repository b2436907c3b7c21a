"""The names of 2.x for what is not supported: see mindspore_serving/worker/distributed.py."""

from mindspore_serving.worker.distributed import refuse

declare_servable = refuse
start_servable = refuse
startup_agents = refuse
