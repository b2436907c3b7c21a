"""What an exception says, as it can be told to a client: it can be sent, and is not endless."""

MOST_CHARACTERS = 4000


def error_text(error: BaseException) -> str:
    """Its text; empty where it has none, or where making it raises."""
    try:
        return sendable(str(error))
    except Exception:  # an exception class of the user's
        return ""


def sendable(text: str) -> str:
    """The text in what UTF-8 can carry, and cut where nobody reads on: a failure is sent once for each instance."""
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]} ... (cut: {len(text)} characters)"
    return text.encode("utf-8", "backslashreplace").decode()  # such as half of a pair, or a file name that is no text
