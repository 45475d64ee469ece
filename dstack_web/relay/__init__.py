"""The way to a server that nobody can call: from here out to its gateways, one OpenSSH client each.

The embedded server starts `python -m dstack_web.relay` as a child, compose.yaml as a service.
"""
