"""How a picture looks: pure functions from tensors or tables to a Figure."""
