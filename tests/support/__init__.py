"""What the tests share: tiny data, servers, kills and mutants."""
