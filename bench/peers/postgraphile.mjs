// PostGraphile 5: the fields of the benchmark as plans over its own resources, the rest of its schema left out.
import { createServer } from 'node:http'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { sideEffectWithPgClient, TYPES } from 'postgraphile/@dataplan/pg'
import { sql } from 'postgraphile/@dataplan/pg/pg-sql2'
import { context, object } from 'postgraphile/grafast'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { extendSchema, gql } from 'postgraphile/utils'
import { caller, connection, INSERT, values } from './database.mjs'

const ordered = ($list, ...orders) => {
  for (const [attribute, direction] of orders) $list.orderBy({ attribute, direction })
  return $list
}
const fields = extendSchema(build => {
  const { task, project, users, comment, label, workflow_state: state } = build.input.pgRegistry.pgResources
  return {
    typeDefs: gql`
      enum Priority { NONE LOW MEDIUM HIGH URGENT }
      extend type Query {
        viewer: User
        task(id: ID!): Task
        project(id: ID!): Project
        tasks(organizationId: ID!, first: Int! = 20): [Task!]!
      }
      extend type Project { tasks(first: Int! = 20): [Task!]! }
      extend type Task {
        priority: Priority!
        state: WorkflowState!
        project: Project!
        assignee: User
        labels: [Label!]!
        commentCount: Int!
        comments(last: Int! = 20): [Comment!]!
      }
      extend type Comment { author: User }
      input TaskCreateInput { projectId: ID! stateId: ID! title: String! description: String priority: Priority }
      type TaskPayload { task: Task }
      extend type Mutation { taskCreate(input: TaskCreateInput!): TaskPayload }
    `,
    objects: {
      Query: { plans: {
        viewer: () => users.get({ id: context().get('caller') }),
        task: (_, { $id }) => task.get({ id: $id }),
        project: (_, { $id }) => project.get({ id: $id }),
        tasks(_, { $organizationId, $first }) {
          const $tasks = ordered(task.find({ org_id: $organizationId }), ['updated_at', 'ASC'], ['id', 'ASC'])
          $tasks.setFirst($first)
          return $tasks
        },
      } },
      Project: { plans: {
        tasks($project, { $first }) {
          const $tasks = ordered(task.find({ project_id: $project.get('id') }), ['number', 'ASC'])
          $tasks.setFirst($first)
          return $tasks
        },
      } },
      Task: { plans: {
        priority: $task => $task.select(
          sql`(array['NONE','LOW','MEDIUM','HIGH','URGENT'])[${$task.getClassStep().alias}.priority + 1]`, TYPES.text),
        state: $task => state.get({ id: $task.get('state_id') }),
        project: $task => project.get({ id: $task.get('project_id') }),
        assignee: $task => users.get({ id: $task.get('assignee_id') }),
        labels($task) {
          const $labels = label.find()
          const $id = $labels.placeholder($task.get('id'))
          $labels.where(sql`${$labels.alias}.id in (select label_id from public.task_label where task_id = ${$id})`)
          return ordered($labels, ['name', 'ASC'])
        },
        commentCount: $task => $task.select(
          sql`(select count(*) from public.comment c where c.task_id = ${$task.getClassStep().alias}.id)`, TYPES.int),
        comments($task, { $last }) {
          const $comments = ordered(comment.find({ task_id: $task.get('id') }), ['created_at', 'ASC'], ['id', 'ASC'])
          $comments.setLast($last)
          return $comments
        },
      } },
      Comment: { plans: { author: $comment => users.get({ id: $comment.get('author_id') }) } },
      TaskPayload: { assertStep: () => true, plans: { task: $payload => $payload.get('task') } },
      Mutation: { plans: { taskCreate(_, { $input }) { return object({ task: created(task, $input) }) } } },
    },
  }
})
// One statement writes the row, one reads what is asked of it: the insert takes its number from a sequence.
const created = (task, $input) => {
  const $id = sideEffectWithPgClient(task.executor, $input, async (client, input) =>
    (await client.query({ text: INSERT, values: values(input), name: 'insert' })).rows[0].id)
  return task.get({ id: $id })
}

const names = {
  name: 'NamesPlugin',
  version: '0.0.0',
  inflection: {
    replace: {
      // Its own names are row ids and the number of a priority.
      _attributeName: (before, options, details) =>
        details.attributeName === 'id' ? 'id' : details.attributeName === 'priority' ? 'priorityNumber' : before(details),
    },
  },
}
const preset = {
  extends: [PostGraphileAmberPreset],
  disablePlugins: ['NodePlugin'],
  plugins: [names, fields],
  pgServices: [makePgService({ poolConfig: connection, schemas: ['public'] })],
  schema: {
    defaultBehavior: '-query:resource:list -query:resource:connection -query:resource:single -insert -update -delete',
  },
  grafast: { explain: false, context: ({ node }) => ({ caller: caller(node.req.headers) }) },
  grafserv: { graphqlPath: '/graphql', graphiql: false, watch: false, websockets: false },
}
const server = createServer()
await postgraphile(preset).createServ(grafserv).addTo(server)
server.listen(Number(process.env.PORT), '127.0.0.1')
