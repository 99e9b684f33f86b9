"""Battles themselves, where the operator lets the page have them: one that is tried out, and the texts of one."""
