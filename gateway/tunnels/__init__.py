"""Tunnels: how the gateway reaches replicas on machines that it cannot dial.

Their agents come in by OpenSSH and have ports of the gateway's own loopback forwarded. HAProxy's
frontend `tunnels` leads to a socket of the sidecar, which starts one `sshd -i` for each connection.
Only the sidecar calls `service`.
"""
