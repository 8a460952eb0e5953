"""What came in: how noisy a radiograph is, and through what JPEG it has gone."""
