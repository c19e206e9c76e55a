"""The straight line: from an accepted notification to a settled delivery."""
