// Mercurius on Fastify: documents compiled by graphql-jit at their first use, relations by its own batched loaders.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { batch, caller, create, one, tasksOf } from './database.mjs'
import { typeDefs } from './schema.mjs'

const resolvers = {
  Query: {
    viewer: (_, args, context) => one.user(context.caller),
    task: (_, { id }) => one.task(id),
    project: (_, { id }) => one.project(id),
    tasks: (_, { organizationId, first }) => tasksOf.organization(organizationId, first),
  },
  Project: { tasks: (project, { first }) => tasksOf.project(project.id, first) },
  Mutation: { taskCreate: async (_, { input }) => ({ task: await create(input) }) },
}
// Mercurius gives a loader all keys, repeated ones too.
const distinct = async (load, keys) => {
  const ids = [...new Set(keys)]
  const rows = await load(ids)
  const found = new Map(ids.map((id, index) => [id, rows[index]]))
  return keys.map(key => found.get(key) ?? null)
}
const loaders = {
  Task: {
    state: asked => distinct(batch.states, asked.map(({ obj }) => obj.stateId)),
    project: asked => distinct(batch.projects, asked.map(({ obj }) => obj.projectId)),
    assignee: asked => distinct(batch.users, asked.map(({ obj }) => obj.assigneeId)),
    labels: asked => batch.labels(asked.map(({ obj }) => obj.id)),
    commentCount: asked => batch.commentCounts(asked.map(({ obj }) => obj.id)),
    comments: asked => batch.comments(asked.map(({ obj }) => obj.id), asked[0].params.last),
  },
  Comment: { author: asked => distinct(batch.users, asked.map(({ obj }) => obj.authorId)) },
}

const app = Fastify()
app.register(mercurius, {
  schema: typeDefs, resolvers, loaders, jit: 1, graphiql: false,
  context: request => ({ caller: caller(request.headers) }),
})
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
