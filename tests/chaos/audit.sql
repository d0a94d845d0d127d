-- What the ledger and its rows went through, noted by triggers in the same transactions.
-- chaos_move: every change of a chunk's state or fence. chaos_write: every batch of result rows,
-- with the claim it was written under and the chunk's fence at that moment.
DROP TABLE IF EXISTS chaos_move, chaos_write;
CREATE TABLE chaos_move (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), chunk bigint NOT NULL,
    before text NOT NULL, after text NOT NULL, fence bigint NOT NULL, owner text NOT NULL
);
CREATE TABLE chaos_write (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), relation text NOT NULL,
    rows bigint NOT NULL, stale boolean NOT NULL, claim text
);

CREATE OR REPLACE FUNCTION chaos_note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_move (chunk, before, after, fence, owner)
    VALUES (NEW.id, OLD.state, NEW.state, NEW.fence, NEW.owner);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION chaos_note_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    claim text := nullif(current_setting('chaos.claim', true), '');
    valid boolean;
    n bigint;
BEGIN
    SELECT count(*) INTO n FROM written;
    SELECT state IN ('claimed', 'done') AND fence = split_part(claim, '/', 2)::bigint INTO valid
        FROM alignment_chunk WHERE id = split_part(claim, '/', 1)::bigint;
    INSERT INTO chaos_write (relation, rows, stale, claim)
    VALUES (TG_TABLE_NAME, n, NOT coalesce(valid, false), claim);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER chaos_move AFTER UPDATE ON alignment_chunk FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.fence IS DISTINCT FROM NEW.fence)
    EXECUTE FUNCTION chaos_note_move();
DO $$
DECLARE relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['rollout', 'score', 'verdict', 'rewriteattempt', 'pair',
                                    'trainingstep'] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER chaos_write AFTER INSERT ON alignment_%s'
            ' REFERENCING NEW TABLE AS written FOR EACH STATEMENT'
            ' EXECUTE FUNCTION chaos_note_write()', relation);
    END LOOP;
END $$;
