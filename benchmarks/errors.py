"""Why a benchmark could not measure anything."""


class CannotMeasure(Exception):
    """Something is missing, or did not do what it must; the message says what."""
