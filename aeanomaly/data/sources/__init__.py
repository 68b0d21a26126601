"""One data source per file, over the one-class base in `aeanomaly.data.base`."""
