"""What was asked and answered: counted in HAProxy, kept over restarts, sent and shown.

Only the sidecar runs it.
"""
