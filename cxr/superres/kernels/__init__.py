"""The networks' convolutions, fast."""
