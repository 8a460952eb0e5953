"""What happens to a radiograph on its way to a network: levels, blur, reduction, noise, JPEG; and its enlargement."""
