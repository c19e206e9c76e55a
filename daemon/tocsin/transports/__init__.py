"""Ways out: each tries one delivery once and returns an Outcome."""
