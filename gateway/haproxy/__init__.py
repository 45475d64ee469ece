"""HAProxy: its configuration, its process, its runtime socket, the files it starts from.

The sidecar runs it; hold, OpenAI, TLS and traffic speak to it through here.
"""
