"""AWS Systems Manager: its agents, its commands, and the actions that send them."""
