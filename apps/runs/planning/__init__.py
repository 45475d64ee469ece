"""What a person asks for and what it would do.

The request, its names, its differences to what runs. Services and pages call it; nothing here
changes a run.
"""
