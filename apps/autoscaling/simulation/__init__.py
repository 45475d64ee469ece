"""A service under a load that is made up or replayed, scaled by our rule and by others', and drawn.

Pure; only the command `simulate_scaling` calls it.
"""
