"""How a demo can fail."""


class DemoFailed(Exception):
    """The demo could not be set up; the message says what to look at."""


class StepFailed(Exception):
    """A step of the story did not go as it must."""
