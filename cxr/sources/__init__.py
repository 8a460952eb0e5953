"""Where radiographs come from: each way leads to the same folder."""
