"""Data that outlives machines: S3."""
