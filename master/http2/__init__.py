"""HTTP/2's server side (RFC 9113) without sockets, clocks or tasks: bytes in, events out, bytes to send.

In reading order:
    errors         the error codes, and the two ways to fail: a stream, or the connection
    limits         what a peer is allowed, and the patience that floods use up
    frames         frames <-> bytes
    openings       how connections begin, remembered for the next one that begins alike
    headers        header blocks <-> fields, by the hpack library behind caches
    header_blocks  frames put together to header blocks
    runs           the frames of a body, many at once
    streams        the open streams, and enough of the closed ones
    template       whole responses, prepared
    outbox         frames on their way out, within the peer's windows
    bodies         what comes of requests' bodies, within our windows
    responses      what our side says on the streams
    control        what the peer says about the connection as a whole
    events         what a connection tells its owner
    phases         what has to come next, and what may not
    connection     the state machine: the peer's bytes, what they tell, how it ends
"""
