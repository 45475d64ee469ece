"""Gateways on machines of clouds and on hosts: made, looked after, replaced and given back.

Pages, the API and tasks call it; whoever publishes on a gateway only needs its row.
"""
