// The API that the Node peers share, as far as the benchmark asks for it.
export const typeDefs = `
  scalar Date
  scalar DateTime
  enum Priority { NONE LOW MEDIUM HIGH URGENT }
  type User { id: ID! name: String! email: String }
  type WorkflowState { id: ID! name: String! }
  type Project { id: ID! name: String! tasks(first: Int! = 20): [Task!]! }
  type Label { id: ID! name: String! }
  type Comment { id: ID! body: String! author: User }
  type Task {
    id: ID! identifier: String! number: Int! title: String! description: String priority: Priority! estimate: Int
    dueDate: Date createdAt: DateTime! updatedAt: DateTime! version: Int!
    state: WorkflowState! project: Project! assignee: User labels: [Label!]! commentCount: Int!
    comments(last: Int! = 20): [Comment!]!
  }
  input TaskCreateInput { projectId: ID! stateId: ID! title: String! description: String priority: Priority }
  type TaskPayload { task: Task }
  type Query {
    viewer: User task(id: ID!): Task project(id: ID!): Project
    tasks(organizationId: ID!, first: Int! = 20): [Task!]!
  }
  type Mutation { taskCreate(input: TaskCreateInput!): TaskPayload }
`
