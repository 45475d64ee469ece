"""A service file as people write it: with comments that no change of a key may lose."""

TEXT = """\
# ours
type: service
name: hello
commands:
  - python3 -m http.server $PORT  # plain
port: 8000

replicas: 1..2   # never more
scaling:
  metric: rps
  # as measured
  target: 10
"""
