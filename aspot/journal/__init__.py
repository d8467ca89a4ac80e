"""The journal: what a run did, in SQLite, in the user's state folder; durable before anything is done because of it."""
