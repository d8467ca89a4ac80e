"""The pure core: states, events, effects, scheduling, placement, money.

Stdlib and attrs only. No async, clock, randomness, IO or logging: time comes in with events.
"""
