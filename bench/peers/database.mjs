// What the Node peers read: one pool, named prepared statements, one statement for each relation of a batch.
import pg from 'pg'

// Text as PostgreSQL writes it, which spares a Date object each: a day stays a day, an instant becomes RFC 3339.
pg.types.setTypeParser(1082, text => text)
pg.types.setTypeParser(1184, text => text.replace(' ', 'T').replace('+00', 'Z'))

export const connection = {
  host: process.env.PGHOST, user: 'postgres', database: 'planwire', min: 10, max: 10, idleTimeoutMillis: 0,
}
const pool = process.env.PEER === 'postgraphile' ? null : new pg.Pool(connection)
const names = new Map()
const query = async (text, values) => {
  let name = names.get(text)
  if (!name) names.set(text, (name = `s${names.size}`))
  return (await pool.query({ name, text, values })).rows
}

const TASK = `task.id, task.identifier, task.number, task.title, task.description, task.estimate, task.version,
  (array['NONE','LOW','MEDIUM','HIGH','URGENT'])[task.priority + 1] as priority, task.due_date as "dueDate",
  task.created_at as "createdAt", task.updated_at as "updatedAt", task.project_id as "projectId",
  task.state_id as "stateId", task.assignee_id as "assigneeId"`

const inOrder = (rows, ids, key = 'id') => {
  const found = new Map()
  for (const row of rows) found.set(row[key], row)
  return ids.map(id => found.get(id) ?? null)
}
const grouped = (rows, ids) => {
  const found = new Map(ids.map(id => [id, []]))
  for (const row of rows) found.get(row.taskId).push(row)
  return ids.map(id => found.get(id))
}

export const batch = {
  users: async ids => inOrder(await query('select id, name, email from users where id = any($1::uuid[])', [ids]), ids),
  projects: async ids => inOrder(await query('select id, name from project where id = any($1::uuid[])', [ids]), ids),
  states: async ids => inOrder(await query('select id, name from workflow_state where id = any($1::uuid[])', [ids]), ids),
  labels: async ids => grouped(await query(
    `select task_label.task_id as "taskId", label.id, label.name from task_label join label on label.id = task_label.label_id
     where task_label.task_id = any($1::uuid[]) order by label.name`, [ids]), ids),
  commentCounts: async ids => inOrder(await query(
    'select task_id as "taskId", count(*)::int as n from comment where task_id = any($1::uuid[]) group by 1', [ids],
  ), ids, 'taskId').map(row => row?.n ?? 0),
  comments: async (ids, last) => {
    const rows = await query(
      `select latest.* from unnest($1::uuid[]) as asked(id) cross join lateral (
         select id, task_id as "taskId", author_id as "authorId", body from comment
         where task_id = asked.id order by created_at desc, id desc limit $2) latest`, [ids, last])
    return grouped(rows.reverse(), ids)
  },
}

export const one = {
  user: async id => (await batch.users([id]))[0],
  task: async id => (await query(`select ${TASK} from task where id = $1`, [id]))[0] ?? null,
  project: async id => (await query('select id, name from project where id = $1', [id]))[0] ?? null,
}
export const tasksOf = {
  project: (id, first) => query(`select ${TASK} from task where project_id = $1 order by number limit $2`, [id, first]),
  organization: (id, first) =>
    query(`select ${TASK} from task where org_id = $1 order by updated_at, id limit $2`, [id, first]),
}
const PRIORITIES = { NONE: 0, LOW: 1, MEDIUM: 2, HIGH: 3, URGENT: 4 }
// The bare insert: what the table's constraints ask for, its number from a sequence, no event and no counter.
export const INSERT = `insert into task (id, org_id, project_id, number, identifier, title, description, state_id,
    priority, rank, creator_kind, version, created_at, updated_at)
  select uuidv7(), project.org_id, project.id, next.number, project.key || '-' || next.number, $2, $3, $4, $5,
    'z' || next.number, 'SYSTEM', 1, now(), now()
  from project, (select nextval('bench_task_number')::int as number) next where project.id = $1 returning ${TASK}`
export const values = ({ projectId, title, description, stateId, priority }) =>
  [projectId, title, description, stateId, PRIORITIES[priority]]
export const create = async input => (await query(INSERT, values(input)))[0]

// The peers believe who it is.
export const caller = headers => headers.authorization?.slice('Bearer '.length)
