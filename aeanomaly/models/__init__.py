"""One plain ``nn.Module`` autoencoder per file, over the small base in `aeanomaly.models.base`."""
