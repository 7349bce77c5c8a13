"""The database's tables, as the list of steps that made them. Pure.

Step N brings a database from version N to N + 1. A released step never changes.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE messages (
            channel_id INTEGER NOT NULL,
            turn_id INTEGER NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            author TEXT NOT NULL,
            text TEXT NOT NULL,
            facts TEXT NOT NULL,
            stopped INTEGER NOT NULL DEFAULT 0,
            created_at_s REAL NOT NULL,
            PRIMARY KEY (channel_id, turn_id, role)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            detail TEXT NOT NULL,
            at_s REAL NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE incidents (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL,
            opened_at_s REAL NOT NULL,
            closed_at_s REAL,
            body BLOB NOT NULL,
            channel_id INTEGER,
            message_id INTEGER,
            shown TEXT NOT NULL DEFAULT ''
        )
        """,
        "CREATE INDEX incidents_by_end ON incidents (closed_at_s)",
        """
        CREATE TABLE mutes (
            key TEXT PRIMARY KEY,
            number INTEGER NOT NULL,
            actor TEXT NOT NULL,
            until_s REAL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE digests (
            day TEXT PRIMARY KEY,
            at_s REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)
