"""From scores to metrics, thresholds and decisions."""
