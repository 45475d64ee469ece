"""Records of the DNS: what a resolver answers, and those that this server makes for gateways.

Gateways on machines are kept by it, and it answers what they ask; nothing else calls it.
"""
