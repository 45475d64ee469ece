"""Workloads as containers of this host's engine: images, networks, output and ends.

Only the agent calls it.
"""
