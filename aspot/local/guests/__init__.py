"""The machines of the local cloud: real SSH, real processes, kept away from the host."""
