"""Where requests wait as raw bytes while no replica can take them.

Only the sidecar runs it; HAProxy is its one caller.
"""
