"""What outlives machines: EFS file systems and EBS volumes. Knows AWS through `aspot.aws`; nothing below imports it."""
