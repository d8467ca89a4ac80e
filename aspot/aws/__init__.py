"""EC2 through aiobotocore: the only place that knows AWS. Errors are translated here; may import ports and below."""
