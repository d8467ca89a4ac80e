"""Instances over SSH: keys, user data, verified connections, and the runner that owns the attempts there."""
