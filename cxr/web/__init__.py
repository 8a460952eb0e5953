"""The page for doctors, and its server: one radiograph looked at and enhanced in real time, in memory alone."""
