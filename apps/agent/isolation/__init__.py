"""What keeps process replicas apart: networks, packet rules, namespaces and control groups.

Executors call it; each part says why where the kernel cannot.
"""
