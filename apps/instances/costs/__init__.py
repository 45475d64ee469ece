"""What machines cost: their time is split, booked and read here.

The rule. A machine that we made costs the price of its offer at its creation, per second, from when
its backend first said that it runs (or its agent called, if that was earlier) until it is gone.
Each moment belongs to the workloads that are on it, in equal parts; with none, it is idle time, and
the run that was there last is named as the one that left it so. A host that was there before us
costs its price while something of ours is on it, and nothing when idle.

Time is booked in whole microseconds beside the price, so that sums are exact; dollars are rounded
only where they are shown. Tasks book; pages, the API and later stages read `queries`.
"""
