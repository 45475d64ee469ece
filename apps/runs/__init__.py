"""Services from the file to the last replica: planned, submitted, reconciled, drained, stopped.

Routing, telemetry and scaling read its rows; only `services` and the rooms write them.
"""
