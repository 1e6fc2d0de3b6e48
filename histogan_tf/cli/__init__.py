"""The command line: flags become a Config, and a Config one call of the package."""
