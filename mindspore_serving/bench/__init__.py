"""`mindspore-serving bench`: loads a running server, checks its replies, and tells how long callers waited.

In reading order:
    config       every setting
    run          the command: check, load, check again, report
    input_spec   an input as the command line describes it
    inputs       files and shape specs -> instances
    payload      instances -> request bytes; is a reply the expected one?
    schedule     when an open loop sends
    histogram    latencies and their percentiles
    tally        what a loop counted
    load         one process of load, with grpcio
    processes    several of them, started together
    h2load       the same load by nghttp2's h2load
    report       the findings as text and as JSON
"""
