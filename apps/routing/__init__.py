"""The tables of the gateways: which host leads to which replicas, on what terms.

Gateways poll it, reactions renew it; nothing but the command line and scaling stands above.
"""
