"""Gateways of projects and the certificates that people bring.

Runs, routing and telemetry call it; it knows the gateway's program by its schema alone.
"""
