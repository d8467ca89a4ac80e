"""A cloud, its machines and the disk, simulated on a virtual clock: the runtime's real code runs on them in milliseconds."""
