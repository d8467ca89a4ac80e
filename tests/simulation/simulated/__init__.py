"""A cloud, its machines and the disk, simulated on a virtual clock: the real runtime runs on them in milliseconds."""
