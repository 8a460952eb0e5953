"""The in-silico trial: what enhancement does for findings that are drawn, told by observers that are computed."""
