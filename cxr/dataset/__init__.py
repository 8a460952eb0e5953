"""From a folder of files to one packed array, its table, its patients and its split."""
