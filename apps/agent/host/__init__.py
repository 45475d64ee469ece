"""What this host has: folders, files, ports, processes, users, interpreters, use.

Every other room of the agent may call it; it knows nothing of workloads.
"""
