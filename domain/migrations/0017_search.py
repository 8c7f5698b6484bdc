"""The index of a search: what is found by its words, and what is found by its meaning.

Triggers keep the words, so that they are current with the commit that changed the text. No service could: search stands
above tasks, comments and projects, and single changes, bulk changes, transfers, the demo and tests write those tables
each in their own way. A trigger looks at nothing but text and place: who moves a task to another state writes nothing
here. Meaning takes a model, so passages and vectors follow by jobs; `search_pending` says for which documents.

`words` is generated in the language that SEARCH_LANGUAGE said at this migration; `search_language()` tells which. Among
them is one that names the organization: the index then brings together its list and those of the words that are asked
for, and what other organizations have costs nothing. It begins as no word does, so that no beginning of a word finds it.
"""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now
from domain.search.models import ModelState, Subject

# `planwire reindex` and whoever writes vectors take the same: `domain/search/serving.py`.
MODELS_LOCK = 5_021_998_017
# So few vectors are compared before documents are looked up one by one.
VECTORS_FEW = 5_000
DOCUMENTS_COMPARED = 2_000
# Edges and neighbors while an index is made: half a million vectors need more than pgvector's own 16 and 64, with which a
# search that looks at more finds no more.
HNSW = "m = 24, ef_construction = 128"
# As many as a search looks at first, for 200 documents: for more than it has found, a walk begins another round.
EF_SEARCH = 400
BREADTH_LEAST = 60
# To keep more of what is compared costs nearly nothing, and to compare it again as much as before.
BREADTH_COMPARED = 600

# `migrate` sets it for its session.
_LANGUAGE = """
DO $do$
DECLARE
    language text := (
        SELECT format('%I.%I', nspname, cfgname)
        FROM pg_ts_config JOIN pg_namespace ON pg_namespace.oid = cfgnamespace
        WHERE pg_ts_config.oid
            = coalesce(nullif(current_setting('planwire.search_language', true), ''), 'english')::regconfig
    );
BEGIN
    EXECUTE format(
        'CREATE FUNCTION search_language() RETURNS regconfig LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        format('SELECT %L::pg_catalog.regconfig', language)
    );
    EXECUTE 'ALTER TABLE search_document ADD COLUMN words tsvector GENERATED ALWAYS AS ('
        || search_words_in(language) || ') STORED';
END
$do$
"""

# What the column is made of. The language stands in it as it is, and not by a function that each write would look into.
_WORDS_IN = """
CREATE FUNCTION search_words_in(language text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format(
        'setweight(to_tsvector(%L::pg_catalog.regconfig, identifier || '' '' || title), ''A'') '
        '|| setweight(to_tsvector(%L::pg_catalog.regconfig, body), ''B'') '
        '|| array_to_tsvector(ARRAY['':'' || org_id::text])',
        language, language)
$$
"""

# What triggers alone write, and take away with its subject, refers to nothing: each reference is a look with each write.
_TABLES = (
    "ALTER TABLE search_document ALTER COLUMN archived SET DEFAULT false, ALTER COLUMN changed_at SET DEFAULT now(), "
    "ADD CONSTRAINT search_document_org_id UNIQUE (org_id, subject_id), "
    "ADD CONSTRAINT search_document_task CHECK ((task_id IS NOT NULL) = (kind = 'COMMENT'))",
    "CREATE INDEX search_document_words ON search_document USING gin (words)",
    "CREATE INDEX search_document_place ON search_document (org_id, kind, project_id)",
    "CREATE INDEX search_document_task ON search_document (task_id) WHERE task_id IS NOT NULL",
    "ALTER TABLE search_pending ALTER COLUMN since SET DEFAULT now()",
    "CREATE INDEX search_pending_since ON search_pending (since)",
    "ALTER TABLE search_passage ADD CONSTRAINT search_passage_org_id UNIQUE (org_id, id), "
    "ADD CONSTRAINT search_passage_content UNIQUE (subject_id, content_hash), "
    "ADD CONSTRAINT search_passage_org_id_subject_id_fk FOREIGN KEY (org_id, subject_id) "
    "REFERENCES search_document (org_id, subject_id) ON DELETE CASCADE",
    "ALTER TABLE search_version ADD CONSTRAINT search_version_org_id_fk "
    "FOREIGN KEY (org_id) REFERENCES organization (id) ON DELETE CASCADE",
    "CREATE UNIQUE INDEX search_model_name ON search_model (name)",
    "CREATE UNIQUE INDEX search_model_serving ON search_model (state) WHERE state = 'SERVING'",
    "CREATE TABLE search_vector ("
    "passage_id uuid NOT NULL, model_id smallint NOT NULL REFERENCES search_model (id) ON DELETE CASCADE, "
    "org_id uuid NOT NULL, subject_id uuid NOT NULL, embedding halfvec NOT NULL, PRIMARY KEY (passage_id, model_id), "
    "CONSTRAINT search_vector_org_id_passage_id_fk FOREIGN KEY (org_id, passage_id) "
    "REFERENCES search_passage (org_id, id) ON DELETE CASCADE)",
    # By it an organization's vectors are compared one by one, where they are few.
    "CREATE INDEX search_vector_organization ON search_vector (org_id, model_id)",
)

_RAISE_VERSION = """
CREATE FUNCTION raise_search_version(org uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.search_version SET version = version + 1 WHERE org_id = org;
    IF NOT FOUND THEN
        -- An organization that is being deleted has none any more.
        INSERT INTO public.search_version (org_id, version) SELECT id, 1 FROM public.organization WHERE id = org
        ON CONFLICT (org_id) DO UPDATE SET version = search_version.version + 1;
    END IF;
END
$$
"""

_FORGET = """
CREATE FUNCTION search_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.search_document WHERE subject_id = OLD.id;
    DELETE FROM public.search_pending WHERE subject_id = OLD.id;
    RETURN NULL;
END
$$
"""

_KEEP_TASK = """
CREATE FUNCTION search_keep_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.search_document (subject_id, org_id, kind, project_id, archived, identifier, title, body)
        VALUES (NEW.id, NEW.org_id, 'TASK', NEW.project_id, NEW.archived_at IS NOT NULL, NEW.identifier, NEW.title,
            coalesce(NEW.description, ''));
        INSERT INTO public.search_pending (subject_id, org_id) VALUES (NEW.id, NEW.org_id);
        RETURN NULL;
    END IF;
    UPDATE public.search_document SET project_id = NEW.project_id, archived = NEW.archived_at IS NOT NULL,
        identifier = NEW.identifier, title = NEW.title, body = coalesce(NEW.description, ''),
        changed_at = CASE WHEN (title, body) = (NEW.title, coalesce(NEW.description, '')) THEN changed_at ELSE now() END
    WHERE subject_id = NEW.id;
    IF (OLD.title, OLD.description) IS DISTINCT FROM (NEW.title, NEW.description) THEN
        INSERT INTO public.search_pending (subject_id, org_id) VALUES (NEW.id, NEW.org_id) ON CONFLICT DO NOTHING;
    END IF;
    IF NEW.project_id <> OLD.project_id OR (NEW.archived_at IS NULL) <> (OLD.archived_at IS NULL) THEN
        UPDATE public.search_document SET project_id = NEW.project_id, archived = NEW.archived_at IS NOT NULL
        WHERE task_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$
"""

# A transfer, or the archiving, of the task would not see a comment that is not committed yet, so each waits for the
# other: at the task's document, which moves between states do not touch.
_KEEP_COMMENT = """
CREATE FUNCTION search_keep_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.search_document (
            subject_id, org_id, kind, project_id, task_id, archived, identifier, title, body)
        SELECT NEW.id, NEW.org_id, 'COMMENT', project_id, NEW.task_id, archived, '', '', NEW.body
        FROM public.search_document WHERE subject_id = NEW.task_id AND org_id = NEW.org_id FOR SHARE;
    ELSE
        UPDATE public.search_document SET body = NEW.body, changed_at = now() WHERE subject_id = NEW.id;
    END IF;
    IF FOUND THEN
        INSERT INTO public.search_pending (subject_id, org_id) VALUES (NEW.id, NEW.org_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""

_KEEP_PROJECT = """
CREATE FUNCTION search_keep_project() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.search_document (subject_id, org_id, kind, project_id, archived, identifier, title, body)
        VALUES (NEW.id, NEW.org_id, 'PROJECT', NEW.id, NEW.archived_at IS NOT NULL, NEW.key, NEW.name,
            coalesce(NEW.description, ''));
    ELSE
        UPDATE public.search_document SET archived = NEW.archived_at IS NOT NULL, identifier = NEW.key,
            title = NEW.name, body = coalesce(NEW.description, ''),
            changed_at = CASE WHEN (title, body) = (NEW.name, coalesce(NEW.description, '')) THEN changed_at ELSE now() END
        WHERE subject_id = NEW.id;
    END IF;
    IF TG_OP = 'INSERT' OR (OLD.name, OLD.description) IS DISTINCT FROM (NEW.name, NEW.description) THEN
        INSERT INTO public.search_pending (subject_id, org_id) VALUES (NEW.id, NEW.org_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""

# table, what keeps its documents, the columns that say something to it
_KEPT = (
    ("task", "search_keep_task", ("title", "description", "identifier", "project_id", "archived_at")),
    ("comment", "search_keep_comment", ("body",)),
    ("project", "search_keep_project", ("name", "description", "key", "archived_at")),
)


def _triggers() -> list[str]:
    found = []
    for table, function, columns in _KEPT:
        old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
        found += [
            f"CREATE TRIGGER search_keep_new AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()",
            f"CREATE TRIGGER search_keep_changed AFTER UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW "
            f"WHEN (ROW({old}) IS DISTINCT FROM ROW({new})) EXECUTE FUNCTION {function}()",
            f"CREATE TRIGGER search_forget AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION search_forget()",
        ]
    return found


# Under row-level security `@@` would be asked of every row of the organization, because it is not leakproof. So this
# runs as the system role, to which `migrate` gives it, and keeps to the caller's organizations itself.
_WORDS = """
CREATE FUNCTION search_words(org uuid, query tsquery, kinds text[], project uuid, most int)
RETURNS TABLE (subject_id uuid, kind text, score real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT subject_id, kind, ts_rank_cd(words, query) FROM public.search_document
    WHERE words @@ ((''':' || org::text || '''')::tsquery && query)
        AND org_id = org AND org = ANY(public.app_org_ids())
        AND NOT archived AND kind = ANY(kinds) AND (project IS NULL OR project_id = project)
    ORDER BY 3 DESC, 1 LIMIT most
$$
"""

# The first model serves from its first vector on; a later one is filled first, by `planwire reindex`. Whoever writes
# vectors shares the lock, and looks which models there are once it is had: so nothing is written without the vectors of a
# new model.
_REGISTER = f"""
CREATE FUNCTION search_register(wanted text, wanted_dimensions int) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    known smallint;
    is_first boolean;
BEGIN
    PERFORM pg_advisory_xact_lock({MODELS_LOCK});
    SELECT id INTO known FROM public.search_model WHERE name = wanted;
    IF known IS NULL THEN
        is_first := NOT EXISTS (SELECT FROM public.search_model WHERE state = 'SERVING');
        -- No id is given twice: an index of the new model would meet vectors of the old one, which are deleted, and there
        -- for transactions that are older than that.
        INSERT INTO public.search_model (name, dimensions, state)
        VALUES (wanted, wanted_dimensions, CASE WHEN is_first THEN 'SERVING' ELSE 'BUILDING' END)
        RETURNING id INTO known;
    ELSE
        -- Wanted again before all of it was removed: what is still there is right, and the rest is made.
        UPDATE public.search_model SET state = 'BUILDING' WHERE id = known AND state = 'RETIRED';
    END IF;
    RETURN known;
END
$$
"""

_VECTOR_INDEX_NAME = """
CREATE FUNCTION search_vector_index_name(model smallint, org uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format('search_vector_hnsw_%s_%s', model, replace(org::text, '-', ''))
$$
"""
# Of an organization that has many vectors (`domain/search/vector_indexes.py`). They are of length one: the inner product
# orders them as the cosine does, and is less work.
_VECTOR_INDEX = f"""
CREATE FUNCTION search_vector_index(model smallint, dimensions int, org uuid, how text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format(
        'CREATE INDEX %s %s ON public.search_vector USING hnsw ((embedding::public.halfvec(%s)) public.halfvec_ip_ops) '
        'WITH ({HNSW}) WHERE model_id = %s AND org_id = %L',
        how, public.search_vector_index_name(model, org), dimensions, model, org)
$$
"""

# The nearest passage of each of the `most` nearest documents. Where few can be meant, all are compared: up to `few` of
# the organization, or those of the documents in question; and all of one that has no index. Else its index is walked, on
# and on where what it gives is not meant; the walk ends before it has seen everything, and where that was too early all
# are compared after all. Several passages may be one document's, so more are looked for than are asked for; of what is
# compared the nearest alone are looked up, and `kind` is null where they are not meant.
# `OFFSET 0` keeps the index out of what is compared, and has documents looked up one by one in the order of what is
# walked. Each statement is planned for its values, and says itself whose and which model's index it may use.
_NEAREST = f"""
CREATE FUNCTION search_nearest(
    org uuid, model smallint, dimensions int, wanted text, kinds text[], project uuid, most int, few int)
RETURNS TABLE (subject_id uuid, kind text, passage_id uuid, distance double precision)
LANGUAGE plpgsql STABLE SET hnsw.iterative_scan = relaxed_order SET hnsw.ef_search = {EF_SEARCH} AS $$
#variable_conflict use_column
DECLARE
    away text := format(
        '(v.embedding::public.halfvec(%s) OPERATOR(public.<#>) %L::public.halfvec(%s))', dimensions, wanted, dimensions);
    meant text := 'd.org_id = $1 AND NOT d.archived AND d.kind = ANY($2) AND ($3 IS NULL OR d.project_id = $3)';
    own text := format('v.org_id = %L AND v.model_id = %s', org, model);
    walked text := format(
        'SELECT v.subject_id, d.kind, v.passage_id, %s AS away FROM public.search_vector v CROSS JOIN LATERAL ('
        'SELECT d.kind FROM public.search_document d WHERE d.subject_id = v.subject_id AND %s OFFSET 0) d '
        'WHERE %s ORDER BY %s LIMIT $4',
        away, meant, own, away);
    compared text := format(
        'SELECT v.subject_id, d.kind, v.passage_id, v.away FROM (SELECT * FROM ('
        'SELECT v.subject_id, v.passage_id, %s AS away FROM public.search_vector v WHERE %s OFFSET 0) v '
        'ORDER BY v.away LIMIT $4) v LEFT JOIN public.search_document d ON d.subject_id = v.subject_id AND %s',
        away, own, meant);
    narrow text := format(
        'SELECT d.subject_id, d.kind, v.passage_id, %s AS away FROM public.search_document d '
        'JOIN public.search_passage p ON p.subject_id = d.subject_id '
        'JOIN public.search_vector v ON v.passage_id = p.id WHERE %s AND %s ORDER BY 4 LIMIT $4',
        away, own, meant);
    way text := walked;
    breadth int := greatest(2 * most, {BREADTH_LEAST});
    vectors int := (SELECT count(*) FROM (SELECT FROM public.search_vector v
        WHERE v.org_id = org AND v.model_id = model LIMIT few + 1) AS some_vectors);
    passages int;
    documents int;
    nearest uuid[];
    subjects uuid[];
    of_kinds text[];
    distances double precision[];
BEGIN
    IF vectors > {VECTORS_FEW} AND (project IS NOT NULL OR cardinality(kinds) < 3) AND (
            SELECT count(*) <= {DOCUMENTS_COMPARED} FROM (
            SELECT FROM public.search_document d WHERE d.org_id = org AND d.kind = ANY(kinds)
            AND (project IS NULL OR d.project_id = project) LIMIT {DOCUMENTS_COMPARED} + 1) AS some_documents) THEN
        way := narrow;
    ELSIF vectors <= few OR NOT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indisvalid AND indexrelid
            = to_regclass('public.' || public.search_vector_index_name(model, org))) THEN
        way := compared;
        breadth := greatest(breadth, {BREADTH_COMPARED});
    END IF;
    LOOP
        EXECUTE 'WITH near AS MATERIALIZED (' || way || '), '
            'of_documents AS (SELECT DISTINCT ON (subject_id) * FROM near WHERE kind IS NOT NULL '
            'ORDER BY subject_id, away, passage_id), '
            'best AS (SELECT * FROM of_documents ORDER BY away, subject_id LIMIT $5) '
            'SELECT (SELECT count(*) FROM near), count(*), array_agg(subject_id ORDER BY away, subject_id), '
            'array_agg(kind ORDER BY away, subject_id), array_agg(passage_id ORDER BY away, subject_id), '
            'array_agg(1 + away ORDER BY away, subject_id) FROM best'
            INTO passages, documents, subjects, of_kinds, nearest, distances USING org, kinds, project, breadth, most;
        EXIT WHEN documents = most OR passages < breadth AND way <> walked;
        IF passages < breadth THEN
            way := compared;
        END IF;
        breadth := breadth * CASE way WHEN walked THEN 4 ELSE 16 END;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(subjects, of_kinds, nearest, distances);
END
$$
"""

# Whoever migrates need not be a superuser, and then sees no row of a table whose security is forced. `migrate` forces
# it again before it ends.
_UNFORCED = tuple(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table, _, _ in _KEPT)
_COLUMNS = "subject_id, org_id, kind, project_id, task_id, archived, identifier, title, body"
_PRESENT = (
    f"INSERT INTO search_document ({_COLUMNS}) SELECT id, org_id, 'PROJECT', id, NULL, archived_at IS NOT NULL, key, "
    "name, coalesce(description, '') FROM project",
    f"INSERT INTO search_document ({_COLUMNS}) SELECT id, org_id, 'TASK', project_id, NULL, archived_at IS NOT NULL, "
    "identifier, title, coalesce(description, '') FROM task",
    f"INSERT INTO search_document ({_COLUMNS}) SELECT comment.id, comment.org_id, 'COMMENT', task.project_id, task.id, "
    "task.archived_at IS NOT NULL, '', '', comment.body FROM comment JOIN task ON task.id = comment.task_id",
    # No event leads to them: cron's next look at what waits for long finds them.
    "INSERT INTO search_pending (subject_id, org_id, since) "
    "SELECT subject_id, org_id, now() - interval '1 hour' FROM search_document",
)

STATEMENTS = (
    _WORDS_IN,
    _LANGUAGE,
    *_TABLES,
    _RAISE_VERSION,
    _FORGET,
    _KEEP_TASK,
    _KEEP_COMMENT,
    _KEEP_PROJECT,
    *_triggers(),
    _VECTOR_INDEX_NAME,
    _VECTOR_INDEX,
    _REGISTER,
    # Whoever is no superuser may give a function none but known settings, and pgvector's are known once it is loaded.
    "SELECT '[1]'::halfvec",
    _NEAREST,
    # It asks `app_org_ids`, which a new database has only when `migrate` ends.
    "SET LOCAL check_function_bodies = off",
    _WORDS,
    *_UNFORCED,
    *_PRESENT,
)


class Migration(migrations.Migration):
    """Search."""

    dependencies = [("planwire", "0016_work")]

    initial = False

    operations = [
        ops.RunSQL("CREATE EXTENSION IF NOT EXISTS vector", reverse_sql=ops.RunSQL.noop),
        ops.CreateModel(
            name="SearchDocument",
            fields=[
                ("subject_id", fields.UUIDField(primary_key=True, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                (
                    "kind",
                    fields.CharEnumField(
                        description="TASK: TASK\nCOMMENT: COMMENT\nPROJECT: PROJECT", enum_type=Subject, max_length=16
                    ),
                ),
                ("project_id", fields.UUIDField()),
                ("task_id", fields.UUIDField(null=True)),
                ("archived", fields.BooleanField(default=False)),
                ("identifier", fields.TextField(unique=False)),
                ("title", fields.TextField(unique=False)),
                ("body", fields.TextField(unique=False)),
                ("changed_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "search_document",
                "app": "planwire",
                "pk_attr": "subject_id",
                "table_description": "The text of a task, a comment or a project, which triggers of their tables keep.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SearchModel",
            fields=[
                ("id", fields.SmallIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("name", fields.TextField(unique=False)),
                ("dimensions", fields.IntField()),
                (
                    "state",
                    fields.CharEnumField(
                        description="BUILDING: BUILDING\nSERVING: SERVING\nRETIRED: RETIRED",
                        enum_type=ModelState,
                        max_length=16,
                    ),
                ),
            ],
            options={
                "table": "search_model",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A model whose vectors are kept. `name` is what `Embeddings.model` says. At most one is SERVING.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SearchPassage",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("subject_id", fields.UUIDField()),
                ("ordinal", fields.IntField()),
                ("text", fields.TextField(unique=False)),
                ("content_hash", fields.BinaryField()),
            ],
            options={
                "table": "search_passage",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A piece of a document that is embedded by itself. Its digest says whether it is the same as before.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SearchPending",
            fields=[
                ("subject_id", fields.UUIDField(primary_key=True, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("since", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "search_pending",
                "app": "planwire",
                "pk_attr": "subject_id",
                "table_description": "That the document has other text than its passages. `since` is when the first change was that they lack.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SearchVersion",
            fields=[
                ("org_id", fields.UUIDField(primary_key=True, unique=True, db_index=True)),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "search_version",
                "app": "planwire",
                "pk_attr": "org_id",
                "table_description": "Raised by every transaction that writes to the index and has no event: a job's. What changes texts has events.",
            },
            bases=["Model"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
