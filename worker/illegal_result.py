"""What is wrong with a result of a user's function. (In a file of its own: mypyc does not compile exceptions.)"""


class IllegalResult(TypeError):
    """A function returned something that no client could be sent."""
