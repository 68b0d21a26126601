"""The LightningModule, its optimiser step, schedule and precision."""
