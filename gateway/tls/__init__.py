"""Certificates: ordered by ACME, renewed, put into HAProxy without a reload.

Only the sidecar runs it.
"""
