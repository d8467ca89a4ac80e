"""The embedded cloud: AWS's wire and real SSH machines on loopback (extra `local`)."""
