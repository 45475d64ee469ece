"""Chats with a project's models in the dashboard, through the gateway that everybody calls.

The URLs of routing lead here; nothing else calls it.
"""
