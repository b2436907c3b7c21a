"""A cluster of its own, checked calls, and faults on purpose: the parts of `mindspore-serving chaos` and of the soak.

The command itself is operator/chaos.py, the soak `python -m mindspore_serving.chaos.soak`.

In reading order:
    config            every setting of the command
    faults            pure: what can be done to a cluster, and a schedule of it from a seed
    checked_calls     pure: calls whose right answers are known, and the comparison
    verdict           pure: what became of the calls, as lines and as JSON
    servable_config   the servable that answers them; the workers load a copy of it
    callers           a client process that makes the calls
    clients           these processes, as the one that started them sees them
    proxy             the control connection of a worker, with a network that can be made bad
    member            a process that is started again when it has ended
    attended_master   a master that ends with whoever started it
    free_ports        where nobody else will be, also while a process is started again
    small_cluster     masters, workers and proxies on free ports of this machine
    growth            pure: whether something grows that should not
    soak              minutes of mixed load, and what has grown
    tormentor         carries out the schedule, and leaves one replica alive at any moment
"""
