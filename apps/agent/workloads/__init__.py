"""One workload's life on this host, whatever runs it: prepared, started, probed, watched, ended.

The agent starts workloads; `processes` and `docker` are the two that run them.
"""
