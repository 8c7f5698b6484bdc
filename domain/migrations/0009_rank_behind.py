"""The rank behind the last task of a state, found by the database, so that a new task needs no look at it before.

A statement sees what was committed when it began, even where it has waited for a lock since. What a volatile function
reads is newer: each of its queries sees what is committed by then. Called with a state that the statement has locked,
it so gives a rank that nobody else can have.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

# As `domain.tasks.ranking.following` counts: the part before the fraction goes up by one. Its first letter says how
# long it is; it has no successor when all of it is used up, and the result is null then.
# Source: fractional indexing as in https://observablehq.com/@dgreensp/implementing-fractional-indexing.
FUNCTION = """
CREATE FUNCTION rank_behind(state uuid) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last text := (SELECT max(task.rank) FROM task WHERE task.state_id = state);
    head int := ascii(last);
    counted text := substr(last, 2, CASE WHEN head >= ascii('a') THEN head - ascii('a') ELSE ascii('Z') - head END + 1);
    stem text := rtrim(counted, 'z');
    digits CONSTANT text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
BEGIN
    IF last IS NULL OR head = ascii('Z') AND stem = '' THEN
        RETURN 'a0';
    ELSIF stem <> '' THEN
        RETURN chr(head) || left(stem, -1) || substr(digits, strpos(digits, right(stem, 1)) + 1, 1)
            || repeat('0', length(counted) - length(stem));
    ELSIF head < ascii('z') THEN
        RETURN chr(head + 1) || repeat('0', length(counted) + CASE WHEN head >= ascii('a') THEN 1 ELSE -1 END);
    END IF;
    RETURN NULL;
END
$$
"""


class Migration(migrations.Migration):
    """Ranks of new tasks."""

    dependencies = [("planwire", "0008_event_values_key")]

    operations = [ops.RunSQL(FUNCTION, reverse_sql="DROP FUNCTION rank_behind(uuid)")]
