"""What the benchmarks measure; each compares its sides in one run, in turn, several times over. See docs/benchmarks.md.

In reading order:
    serving           `make bench`: whole servers under load, and their echoes as ceilings
      workloads       what is called, and the right answer
      export_models   the servables of the workloads, for either MindSpore; networks is what their models compute
      peers           the servers: started, measured, stopped
      echo            a server that answers without a master: what a door alone can do
      processor       the CPU time and memory of a process
      findings        cells, medians, ratios; the table and the JSON
      picture         the findings as SVG
    hot_path          the master's path without sockets, against a yardstick; tests/benchmarks guards it
      memory_path     that path, from a client in memory to a worker in memory
      instructions    counted by Valgrind: the same number on a busy machine
    engine            what the worker's engine gains
    worker_path       what a worker adds to its model, over worker_floor: the least that it could do
    processes         throughput and CPU a call against the processes of one master
    scale             cost per request against workers and servables; a storm of registrations
    policy            when a batch should leave: the core against other policies, in virtual time; drawn by curves
    startup           how soon master and worker are ready, and what they weigh
    instruction_set, overlap, parallel_workers    a choice each, measured
"""
