"""How we log in to brokers: certificates, and access tokens."""
