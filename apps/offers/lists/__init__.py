"""Offers to look at: a page of them, or groups with their range of prices.

The API and the pages of offers call this; plans and placements ask `apps.offers.queries`.
"""
