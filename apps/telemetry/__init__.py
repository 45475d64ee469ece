"""What services say and use: output, requests, figures.

Agents and gateways bring it, pages and scaling read it.
"""
