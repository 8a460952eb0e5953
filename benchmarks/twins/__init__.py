"""Does what can be seen survive? Phantoms with and without small findings, as a network shows them."""
