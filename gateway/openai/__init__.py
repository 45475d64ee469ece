"""The part of the OpenAI API that HAProxy cannot answer or route by itself.

The sidecar runs it; the adapter for TGI answers by it.
"""
