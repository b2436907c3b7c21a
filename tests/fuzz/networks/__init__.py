"""Random networks: a rewritten graph is to give the numbers of the network.

`python -m tests.fuzz.networks --seeds 0:200` tries them.

A seed makes a network, always the same one. In reading order:
    network    a network as lines of Python, and the program that they are together
    eager      runs lines one at a time, as Python runs them
    sketch     a network that is being written; what writes lines: layers, elements, places, blocks,
               patterns, newer, wholes, seldom
    growth     from a seed, a network
    verdict    what may come of a trial
    trial      exports it, opens it with its graph written in several ways, and compares
    shrinking  the smallest network in which a fault is still there
    child      tries seeds, in a process of its own: a kernel may end it
    __main__   the command: starts such processes, and prints what they find
"""
