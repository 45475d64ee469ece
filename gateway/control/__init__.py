"""The control plane's side: its API over HTTP, and the two loops towards it.

Only the sidecar calls it.
"""
