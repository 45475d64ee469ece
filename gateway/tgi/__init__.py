"""The adapter: OpenAI's requests for servers that speak TGI, chat templates rendered in a sandbox.

The sidecar's HTTP server calls it.
"""
