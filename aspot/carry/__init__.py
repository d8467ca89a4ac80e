"""Going on elsewhere: a run as one file for another computer, and a run rebuilt from what its machines know."""
