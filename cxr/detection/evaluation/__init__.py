"""What a detector makes of radiographs, and what else tells as much."""
