"""Device, distributed training, loader, checkpoint, logger, tracker, options: rarely edited."""
