"""Boxes: one machine by name that stays until it is told to go. A box is a run without jobs, left to its machine."""
