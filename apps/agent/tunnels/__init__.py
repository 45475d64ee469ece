"""Tunnels to gateways that cannot dial this host: one OpenSSH client each, with a forward for each
workload. The agent calls `keeper`.
"""
