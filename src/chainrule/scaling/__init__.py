"""Training on rows on disk, on several devices and in several processes."""
