"""Ways to the same folder of radiographs, one file each."""
