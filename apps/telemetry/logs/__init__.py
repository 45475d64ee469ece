"""What replicas print: taken in, bounded, read, streamed and shown.

The agent's routes, the API and pages call it.
"""
