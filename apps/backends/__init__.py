"""Where instances can be had: backends of a project, and the providers behind them.

Offers, instances and runs call `services` and `queries`; a provider knows nothing but `base`.
"""
