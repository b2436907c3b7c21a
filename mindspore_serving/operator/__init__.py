"""The commands of `mindspore-serving`: each module has one, as `run(config, notify)`.

In reading order:
    config        every setting of each command
    check         loads servables as a worker would, and says what is in them and what is wrong
    keygen        writes the keys of a control port and its workers
    new           writes a servable for a MindIR file
    interruption  Ctrl-C while one of them runs MindSpore
    up            a master and workers on this machine, kept running
    chaos         faults on purpose, and what became of the calls; its parts and config are in mindspore_serving/chaos
"""
