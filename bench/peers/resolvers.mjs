// Resolvers over dataloaders, one set of loaders a request, as Apollo Server and Yoga have them.
import DataLoader from 'dataloader'
import { batch, create, one, tasksOf } from './database.mjs'

export const loaders = () => ({
  user: new DataLoader(batch.users),
  project: new DataLoader(batch.projects),
  state: new DataLoader(batch.states),
  labels: new DataLoader(batch.labels),
  commentCount: new DataLoader(batch.commentCounts),
  comments: new DataLoader(keys => batch.comments(keys.map(key => key.id), keys[0].last), {
    cacheKeyFn: key => `${key.id}:${key.last}`,
  }),
})

export const resolvers = {
  Query: {
    viewer: (_, args, { caller, loaders }) => loaders.user.load(caller),
    task: (_, { id }) => one.task(id),
    project: (_, { id }) => one.project(id),
    tasks: (_, { organizationId, first }) => tasksOf.organization(organizationId, first),
  },
  Project: { tasks: (project, { first }) => tasksOf.project(project.id, first) },
  Task: {
    state: (task, args, { loaders }) => loaders.state.load(task.stateId),
    project: (task, args, { loaders }) => loaders.project.load(task.projectId),
    assignee: (task, args, { loaders }) => (task.assigneeId === null ? null : loaders.user.load(task.assigneeId)),
    labels: (task, args, { loaders }) => loaders.labels.load(task.id),
    commentCount: (task, args, { loaders }) => loaders.commentCount.load(task.id),
    comments: (task, { last }, { loaders }) => loaders.comments.load({ id: task.id, last }),
  },
  Comment: { author: (comment, args, { loaders }) => loaders.user.load(comment.authorId) },
  Mutation: { taskCreate: async (_, { input }) => ({ task: await create(input) }) },
}
