"""What the master expects of its workers, for who waits: whether to look for an answer now is of use."""

import math


class Outlook:
    """quiet_until: no worker has an answer before that moment of the loop's clock, as far as it is foretold."""

    def __init__(self) -> None:
        self.quiet_until = -math.inf
