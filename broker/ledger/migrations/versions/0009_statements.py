"""Statements on record in days, blocks that chain them and the audit trail, signed checkpoints;
what a grant's sessions are held to, and what they used of it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    # As the policy said that gave it; see broker/domain/statement/conditions.py.
    "ALTER TABLE curfew.grants ADD conditions jsonb NOT NULL DEFAULT "
    """'{"parameters": "off", "max_rows": null, "max_bytes": null, "commit_gate": null, """
    """"refused": []}'""",
    "ALTER TABLE curfew.grants ADD rows_sent bigint NOT NULL DEFAULT 0",
    "ALTER TABLE curfew.grants ADD bytes_sent bigint NOT NULL DEFAULT 0",
    # What is here of each worker's spool: whatever is before `position` in `segment`, but for
    # statements that were unfinished there; see broker/domain/statement/shipment.py.
    """
    CREATE TABLE curfew.spools (
        worker_id text PRIMARY KEY,
        segment bigint NOT NULL,
        position bigint NOT NULL,
        unfinished jsonb NOT NULL,
        moves bigint NOT NULL,
        moved_at timestamptz NOT NULL
    )
    """,
    # Up to which of its blocks a sink has the audit trail, and which broker sends it more.
    """
    CREATE TABLE curfew.sink_place (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        block bigint NOT NULL DEFAULT 0,
        holder text NOT NULL DEFAULT '',
        held_until timestamptz NOT NULL DEFAULT '-infinity'
    )
    """,
    "INSERT INTO curfew.sink_place DEFAULT VALUES",
    # Whose sessions they are, for the copy of the record that goes to a SIEM.
    """
    CREATE VIEW curfew.sink_sessions AS
        SELECT s.id, s.grant_id, p.email AS person, g.target, g.database, g.role,
               s.client_address
          FROM curfew.sessions s
          JOIN curfew.grants g ON g.id = s.grant_id
          JOIN curfew.people p ON p.id = g.person_id
    """,
    # Rows of statements come in blocks, each of one day, in one chain. A row is kept under the day
    # on which its statement began; days are partitions, made beforehand and dropped whole.
    """
    CREATE TABLE curfew.statement_blocks (
        number bigint PRIMARY KEY,
        day date NOT NULL,
        sealed_at timestamptz NOT NULL,
        worker_id text NOT NULL,
        rows integer NOT NULL,
        digest bytea NOT NULL,
        leaves bytea NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL
    )
    """,
    "CREATE INDEX statement_blocks_of_day ON curfew.statement_blocks (day, number)",
    """
    CREATE TABLE curfew.statements (
        day date NOT NULL,
        session_id text NOT NULL,
        seq bigint NOT NULL,
        block bigint NOT NULL,
        started_at timestamptz NOT NULL,
        protocol text NOT NULL,
        text text NOT NULL,
        text_bytes bigint NOT NULL,
        text_sha256 text,
        masked boolean NOT NULL,
        parameter_types bigint[],
        parameters text[],
        ending text,
        duration_us bigint,
        rows bigint,
        tag text,
        sqlstate text,
        bytes_from_client bigint,
        bytes_to_client bigint,
        PRIMARY KEY (session_id, seq, day)
    ) PARTITION BY RANGE (day)
    """,
    "CREATE INDEX statements_of_block ON curfew.statements USING brin (block)",
    "CREATE TABLE curfew.statements_other PARTITION OF curfew.statements DEFAULT",
    # Of statements that were written down while they still ran.
    """
    CREATE TABLE curfew.late_outcomes (
        day date NOT NULL,
        session_id text NOT NULL,
        seq bigint NOT NULL,
        block bigint NOT NULL,
        ending text NOT NULL,
        duration_us bigint NOT NULL,
        rows bigint,
        tag text,
        sqlstate text,
        bytes_from_client bigint NOT NULL,
        bytes_to_client bigint NOT NULL,
        PRIMARY KEY (session_id, seq, day)
    ) PARTITION BY RANGE (day)
    """,
    "CREATE INDEX late_outcomes_of_block ON curfew.late_outcomes USING brin (block)",
    "CREATE TABLE curfew.late_outcomes_other PARTITION OF curfew.late_outcomes DEFAULT",
    # Days that retention has taken out: the rows of their blocks up to number `through`. The blocks
    # stay, so that the chain can still be walked. A spool that comes back may bring more of a day.
    """
    CREATE TABLE curfew.dropped_days (
        day date NOT NULL,
        through bigint NOT NULL,
        dropped_at timestamptz NOT NULL,
        rows bigint NOT NULL,
        PRIMARY KEY (day, through)
    )
    """,
    # Blocks of the audit trail name their events: numbers are given before a transaction commits,
    # so that later ones may be visible first.
    """
    CREATE TABLE curfew.audit_blocks (
        number bigint PRIMARY KEY,
        seqs bigint[] NOT NULL,
        newest bigint NOT NULL,
        sealed_at timestamptz NOT NULL,
        rows integer NOT NULL,
        digest bytea NOT NULL,
        leaves bytea NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL
    )
    """,
    "CREATE INDEX audit_blocks_newest ON curfew.audit_blocks (newest)",
    # Numbers of events that were not to be seen when later ones were sealed: of transactions that
    # were still open, or that were rolled back.
    """
    CREATE TABLE curfew.audit_gaps (
        seq bigint PRIMARY KEY,
        seen_at timestamptz NOT NULL
    )
    """,
    # `body` is canonical JSON that names the newest link of each chain.
    """
    CREATE TABLE curfew.checkpoints (
        number bigint PRIMARY KEY,
        made_at timestamptz NOT NULL,
        body text NOT NULL,
        key_id text NOT NULL,
        signature bytea NOT NULL
    )
    """,
    *(
        f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON curfew.{table}
            FOR EACH STATEMENT EXECUTE FUNCTION curfew.refuse_change()
        """
        for table in (
            "statement_blocks",
            "statements",
            "statements_other",
            "late_outcomes",
            "late_outcomes_other",
            "dropped_days",
            "audit_blocks",
            "checkpoints",
        )
    ),
    # A COMMIT that is held until somebody decides, or its time is over.
    """
    CREATE TABLE curfew.held_commits (
        id text PRIMARY KEY,
        session_id text NOT NULL REFERENCES curfew.sessions,
        grant_id text NOT NULL REFERENCES curfew.grants,
        rows bigint NOT NULL,
        by_approver boolean NOT NULL,
        held_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        decision text CHECK (decision IN ('confirmed', 'rolled back', 'timed out', 'lost')),
        decided_by text,
        decided_at timestamptz,
        CHECK ((decision IS NULL) = (decided_at IS NULL))
    )
    """,
    "CREATE INDEX held_commits_open ON curfew.held_commits (grant_id) WHERE decision IS NULL",
    # An extension may want more of a budget, with or without more time.
    "ALTER TABLE curfew.requests ADD more_rows bigint NOT NULL DEFAULT 0 CHECK (more_rows >= 0), "
    "ADD more_bytes bigint NOT NULL DEFAULT 0 CHECK (more_bytes >= 0), "
    "DROP CONSTRAINT requests_duration_check, ADD CONSTRAINT requests_wants_something CHECK "
    "(duration > interval '0' OR extends IS NOT NULL AND duration = interval '0' "
    "AND (more_rows > 0 OR more_bytes > 0))",
    "CREATE INDEX held_commits_of_session ON curfew.held_commits (session_id)",
    # New columns come at the end, so that the view and who may read it stay while proxies do.
    """
    CREATE OR REPLACE VIEW curfew.proxy_logins AS
        SELECT l.name, l.stable_name, l.connection_limit, l.grant_id AS id, g.request_id,
               p.id AS person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
               g.state, g.granted_at, g.expires_at, g.duration, g.end_reason, g.ended_by,
               g.end_comment, g.ended_at, g.attempts, g.next_attempt_at, g.last_error, g.kind,
               g.member, g.networks, g.pin_address, g.pinned_to, g.parameters, g.break_glass,
               g.sealed,
               l.key_id, l.salt, l.iterations, l.stored_key, l.server_key,
               g.conditions, g.rows_sent, g.bytes_sent
          FROM curfew.logins l
          JOIN curfew.grants g ON g.id = l.grant_id
          JOIN curfew.people p ON p.id = g.person_id
         WHERE l.stored_key IS NOT NULL OR g.sealed
    """,
    # What a worker says of itself with its sign of life; see proxy/spool/.
    "ALTER TABLE curfew.workers ADD condition jsonb NOT NULL DEFAULT '{}'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
