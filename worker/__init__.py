"""The hands: servable_config.py, stages, MindSpore, and the DEALER socket.

In reading order:
    config            every setting, with its default
    process           the life of a worker process
    worker            one loaded servable and its link to a master
    link              the thread that waits for the masters; inbox: what other threads leave for it; bell: wakes it up
    talks             what it says to them, and does as they say
    line              its connection to one of them: a DEALER socket, and beside it (answer_frames: what it sends)
    direct_door       where a master on the same machine connects past ZeroMQ
    watches           what that thread waits for
    handshakes        what becomes of its connection, and what that means
    curve             the worker's keys
    signal_pipe       SIGTERM, SIGINT and SIGHUP, for a main thread that waits
    register          what a servable_config.py says: the authoring API
    stages, old_calls, device_context, method_source: parts of it
    declarations      what it said, as data
    loading           from a folder to a Servable
    limits            what no master would take
    method_types      what is known of the types of a method's tensors
    unreadable        what to tell of a file that may not be read
    target            where, and with which key, models are loaded
    inspection        the same, going on after a mistake: for mindspore-serving check
    servable          a loaded servable: takes batches, gives answers
    pipeline          a batch on its way through a method's stages
    function_stage    a user's function; error_text: what it raised, as a client is told; complaints: how often
                      the log tells of it
    model_stage       a model
    model_call        Model.call inside a user's function
    loaded_model      a model on its device, warm and measured
    graph_calls       the short way into its compiled graph
    straight_calls    past it, where kernels/ are all that is left, and what numpy does between them: plain_steps
    stacked_model     one without a batch axis that runs several instances in one call
    stacking          whether it may: tried in a process of its own, stacking_trial
    batch_sizes       the sizes that a fixed batch can shrink to
    call_costs        what calls cost, measured
    batch_plan        which of them so many instances are best cut into
    arrays            columns <-> numpy
    work_thread       the thread that runs MindSpore, and the one for Python stages
    lookout           how the first one waits for a batch, at
    lent_line         the link's line, which it is lent; loan: until when
    engine_settings   which CPU instructions and threads MindSpore may use, before it is imported
    tuning            finds the fastest of them by measuring
    tuning_process, tuning_trial: the processes that are measured, from outside and inside
    tuning_cache      keeps what was found
    mindir_file       what a model file says of its inputs
    mindspore_model   MindSpore itself
    rewritten_file    a model file as rewrites/ writes it: graphs that MindSpore runs faster
    kernels/          operators in C, which they may name
    distributed       says that there are no distributed servables

The names of MindSpore Serving 1.2 (start_servable, ...) are here too; see mindspore_serving/start_scripts.py.
"""

import importlib
from typing import Any

_START_SCRIPT_NAMES = {
    "start_servable": "start_servable",
    "start_servable_in_master": "start_servable_in_master",
    "stop": "stop_worker",
}


def __getattr__(name: str) -> Any:
    # Lazily: a start script composes master and worker, which this package itself must not.
    if name in _START_SCRIPT_NAMES:
        return getattr(importlib.import_module("mindspore_serving.start_scripts"), _START_SCRIPT_NAMES[name])
    if name in ("distributed", "register"):
        return importlib.import_module(f"mindspore_serving.worker.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
