"""What training takes of a device's memory, before anything is loaded."""
