"""What do many runs say together? Replications over seeds, and scenarios against each other under the same luck."""
