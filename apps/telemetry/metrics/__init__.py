"""The figures of services and replicas as series, charts, API and page for Prometheus.

Pages, API and tasks call it.
"""
