"""The data plane: HAProxy, and the sidecar that reconciles it with the control plane's table.

The server knows it by `schema` alone, and it imports nothing of the server's.
"""
