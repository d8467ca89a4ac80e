"""What outlives machines: S3 objects, EFS file systems, EBS volumes. Knows AWS through `aspot.aws`."""
