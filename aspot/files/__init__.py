"""Local files on their way to and from instances: what is sent, which names may come back, how they are written."""
