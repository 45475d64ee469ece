"""What pages and APIs of all apps share: fragments, forms, lists in pages, addresses, proxies, and
for machines the bearer token, the body, error answers and long polls.

Every app may call it.
"""
