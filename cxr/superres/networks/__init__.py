"""The super-resolution networks, one file each."""
