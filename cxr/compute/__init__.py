"""What any network runs on and learns with."""
