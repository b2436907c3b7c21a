"""MindSpore Serving for clusters: the one import root, whose subpackages are the folders at the top of the tree.

In reading order:
    client         what a user's program imports
    cluster        the mind: pure decisions and the control protocol
    master         the front desk: doors for clients, the socket for workers
    worker         the hands: servable_config.py, stages, MindSpore
    server         the names of MindSpore Serving 2.x
    start_scripts  the start calls of MindSpore Serving 1.2
    operator       the commands of `mindspore-serving`: check, new, up
    bench          the command `mindspore-serving bench`: load for a running server
    serving_error  how the start calls word what went wrong
    supervisor     keeps worker processes; with worker_process and restarts
    master_command one master process or several; master_processes keeps these: upkeep decides, master_child is one
    worker_command a worker process
    spare_cores    whether a process may use a core to wait; event_loop: an asyncio.run() that does
    siblings       what each of several knows of the others; joining: how it takes its place
    master_process the life of a master process; master_thread: of a master inside a script
    log            what users' scripts log with
    context        what start scripts set for their masters
    in_process     workers inside the master's process
    command_line   what the commands share
    systemd        tells a service manager how far a process is
    telling        lines for whoever started a process
    proto          generated protobuf stubs
    compiled       the hot path as extension modules, which setup.py makes
"""

from mindspore_serving.compiled import enable

WHY_NOT_COMPILED = enable()  # before anything else is imported; None: it is

__version__ = "0.1.0"
