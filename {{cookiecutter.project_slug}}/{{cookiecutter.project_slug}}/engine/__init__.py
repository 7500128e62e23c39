"""Device, loader, checkpoint, logger, options: rarely edited."""
