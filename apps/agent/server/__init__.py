"""The agent's calls to its server.

One connection, the lines that it ships, the uploads that it fetches. The agent and the executors
call it.
"""
