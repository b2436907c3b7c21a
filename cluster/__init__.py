"""The mind of the cluster: pure decisions and the control protocol. No socket, clock, thread, random number or logger.

In reading order:
    errors       the error tree, and failures as values
    tensors      instances and columns as raw bytes
    results      what comes of a request, in columns
    messages     what master and worker say to each other
    codec        messages <-> ZeroMQ frames; wire_values: what stands in them
    direct       the same frames on a stream, where master and worker share a machine
    arena        which parts of a memory are taken
    addresses    HOST:PORT as people write it
    siblings     the processes of one master
    key_files    the files of CURVE keys
    leases       who was heard of lately; moments: the first of several
    registry     servables, their versions, and the replicas that serve them
    batcher      instances that wait, cut into batches
    scheduler    which replica gets the next batch
    costs        what a batch costs, learned
    quarantine   methods that kill their workers
    lane         one version of a servable at work: batcher, scheduler, costs, quarantines
    statistics   what was asked of each method, and how long it took
    dispatch_events  what goes into the dispatcher and comes out of it
    refusals     why a request gets no result
    board        what the parts of the dispatcher share
    open_requests  what is admitted and not answered yet; deadlines: when it runs out of time
    losses       what happens to the work of a replica that is lost; orphans: ... when it was the last one
    members      the workers: they register, live, stall, drain
    dispatcher   the master's mind: events in, actions out
    session      the worker's side of the same talk; session_events: what goes in and comes out
    purse        how a worker shares itself between several masters
    gate         in which order it starts their batches
    patience     how long a thread with nothing to do looks before it sleeps
"""
