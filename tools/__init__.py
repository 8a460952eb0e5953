"""What is neither a stage nor part of one: set-up, the demo, and what writes or checks parts of the project itself."""
