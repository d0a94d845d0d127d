"""The one exception for failures that were foreseen. Anything else is a defect and keeps its
traceback.
"""


class MoraError(Exception):
    """An expected failure; its message is a sentence that names the cause and the remedy."""
