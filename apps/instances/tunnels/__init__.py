"""Tunnels: ports of gateways that lead to workloads on machines that the gateways cannot dial.

`services` and the agents' side claim and free them by `claims`; routing and runs ask.
"""
