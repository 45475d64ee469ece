"""The keys of a service's file, section by section, and the service as a whole.

`parse` and `resolve` call it; others get the finished spec.
"""
