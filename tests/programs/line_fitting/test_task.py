"""No tests of the task."""
