// What the drivers ask. Relay has its own in relay.js, because its compiler looks for them there.

export const SIGN_IN = `mutation SignIn($input: SignInInput!) {
  signIn(input: $input) { token viewer { email } errors { code path } } }`;

export const ORGANIZATION = `query Organization($slug: String!) {
  organization(slug: $slug) { id name viewerRole } }`;

export const TASKS = `query Tasks($id: ID!, $first: Int!, $after: String) {
  project(id: $id) {
    id
    tasks(first: $first, after: $after, orderBy: [{ field: NUMBER }]) {
      edges { cursor node { id title version } }
      pageInfo { hasNextPage endCursor }
    }
  } }`;

export const UPDATE = `mutation Update($id: ID!, $input: TaskUpdateInput!, $ifVersion: Int) {
  taskUpdate(id: $id, input: $input, ifVersion: $ifVersion) {
    task { id title version }
    errors { __typename code path ... on StaleVersionError { currentVersion } }
  } }`;

export const TASK_CHANGED = `subscription TaskChanged($projectId: ID!, $after: String) {
  taskChanged(projectId: $projectId, after: $after) {
    event { id cursor type actor { ... on User { id name } } }
    task { id title version }
  } }`;

export const EVENTS = `subscription Events($id: ID!, $after: String) {
  events(organizationId: $id, after: $after) { id cursor type } }`;
