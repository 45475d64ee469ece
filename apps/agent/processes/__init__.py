"""Workloads as plain processes of this host, each beside a shim that outlives the agent.

Only the agent and `main` call it.
"""
