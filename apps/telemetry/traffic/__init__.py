"""What gateways counted: taken in as buckets of time, and the last two minutes second by second.

The gateway's route, metrics and the autoscaler call it.
"""
