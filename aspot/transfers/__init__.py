"""Data kept in step between S3, file systems, volumes, machines and this computer."""
