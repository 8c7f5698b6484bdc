// Relay: its store, with connections that grow and shrink, over HTTP and graphql-ws. Its compiler turns each `graphql`
// into an artifact first (conftest.py), so a document that the schema does not have fails there.
import { createRequire } from "node:module";
import relay from "relay-runtime";
import {
  changed,
  endless,
  given,
  play,
  renameAsOther,
  screen,
  sent,
  shown,
  socketClient,
  tell,
  watchedFetch,
} from "./driver.mjs";

const artifact = createRequire(`${given.artifacts}/`);
/** What Relay's Babel plugin does when an application is built: the artifact stands for the document. */
const graphql = ([text]) => artifact(`./${/(?:query|mutation|subscription|fragment) (\w+)/.exec(text)[1]}.graphql.js`);

const SignIn = graphql`
  mutation relaySignInMutation($input: SignInInput!) {
    signIn(input: $input) {
      token
      viewer {
        email
      }
      errors {
        code
        path
      }
    }
  }
`;
const Organization = graphql`
  query relayOrganizationQuery($slug: String!) {
    organization(slug: $slug) {
      name
      viewerRole
    }
  }
`;
const Tasks = graphql`
  query relayTasksQuery($id: ID!, $count: Int!) {
    project(id: $id) {
      ...relay_tasks @arguments(count: $count)
    }
  }
`;
const TasksOfProject = graphql`
  fragment relay_tasks on Project
  @refetchable(queryName: "relayTasksPageQuery")
  @argumentDefinitions(count: { type: "Int!" }, cursor: { type: "String" }) {
    tasks(first: $count, after: $cursor, orderBy: [{ field: NUMBER }]) @connection(key: "relay_tasks") {
      __id
      edges {
        node {
          id
          title
          version
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;
const Update = graphql`
  mutation relayUpdateMutation($id: ID!, $input: TaskUpdateInput!, $ifVersion: Int) {
    taskUpdate(id: $id, input: $input, ifVersion: $ifVersion) {
      task {
        id
        title
        version
      }
      errors {
        __typename
        code
        path
        ... on StaleVersionError {
          currentVersion
        }
      }
    }
  }
`;
const Create = graphql`
  mutation relayCreateMutation($input: TaskCreateInput!, $connections: [ID!]!) {
    taskCreate(input: $input) {
      task @appendNode(connections: $connections, edgeTypeName: "TaskEdge") {
        id
        title
        version
      }
      errors {
        code
        path
      }
    }
  }
`;
const Delete = graphql`
  mutation relayDeleteMutation($id: ID!, $connections: [ID!]!) {
    taskDelete(id: $id) {
      deletedId @deleteEdge(connections: $connections)
      errors {
        code
        path
      }
    }
  }
`;
const TaskChanged = graphql`
  subscription relayTaskChangedSubscription($projectId: ID!, $after: String) {
    taskChanged(projectId: $projectId, after: $after) {
      event {
        id
        cursor
        type
        actor {
          __typename
          ... on User {
            id
            name
          }
        }
      }
      task {
        id
        title
        version
      }
    }
  }
`;
const Events = graphql`
  subscription relayEventsSubscription($id: ID!, $after: String) {
    events(organizationId: $id, after: $after) {
      id
      cursor
      type
    }
  }
`;

const codesOf = (errors) => errors.map(({ extensions }) => extensions.code);

function environment(token) {
  const socket = socketClient(token);
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  // The compiler leaves the text out where it has persisted the document.
  const payload = ({ id, text }, variables) => ({
    ...(id ? { documentId: `sha256:${id}` } : { query: text }),
    variables,
  });
  const ask = async (document, variables) => {
    const body = JSON.stringify(payload(document, variables));
    const answer = await (await watchedFetch(given.url, { method: "POST", headers, body })).json();
    const codes = codesOf(answer.errors ?? []);
    // An application goes to its sign-in page here.
    if (codes.includes("UNAUTHENTICATED")) throw Object.assign(new Error("Sign in."), { codes });
    return answer;
  };
  const follow = (document, variables) =>
    relay.Observable.create((sink) => socket.subscribe({ query: "", ...payload(document, variables) }, sink));
  return new relay.Environment({
    network: relay.Network.create(ask, follow),
    store: new relay.Store(new relay.RecordSource()),
  });
}

const fetched = (store, query, variables) => relay.fetchQuery(store, query, variables).toPromise();

const committed = (store, mutation, variables, options = {}) =>
  new Promise((resolve, onError) => {
    const onCompleted = (data, errors) => resolve({ data, errors });
    relay.commitMutation(store, { mutation, variables, ...options, onCompleted, onError });
  });

/** A list of tasks on a screen, as usePaginationFragment has it. */
async function watched(store, count) {
  const { show, next } = screen();
  const variables = { id: given.projectId, count };
  const operation = relay.createOperationDescriptor(Tasks, variables);
  store.retain(operation);
  await fetched(store, Tasks, variables);
  const { project } = store.lookup(operation.fragment).data;
  const selector = relay.getSingularSelector(TasksOfProject, project);
  const first = store.lookup(selector);
  show(shown(first.data.tasks));
  store.subscribe(first, ({ data }) => show(shown(data.tasks)));
  const loadNext = () => {
    const { paginationRequest, paginationMetadata } = relay.getPaginationMetadata(TasksOfProject, "watched");
    const { endCursor } = store.lookup(selector).data.tasks.pageInfo;
    const base = { ...selector.owner.variables, ...selector.variables };
    const page = relay.getPaginationVariables("forward", count, endCursor, base, {}, paginationMetadata);
    return fetched(store, paginationRequest, { ...page, id: given.projectId });
  };
  return { next, loadNext, connections: [first.data.tasks.__id] };
}

await play({
  async signIn() {
    const input = { email: given.email, password: "not the password" };
    const refused = await committed(environment(), SignIn, { input });
    await tell({ refused: refused.data.signIn.errors });
    const { data } = await committed(environment(), SignIn, { input: { ...input, password: given.password } });
    await tell({ signedIn: data.signIn.viewer.email });
    await tell(await fetched(environment(data.signIn.token), Organization, { slug: given.slug }));
  },

  async pages() {
    const { next, loadNext } = await watched(environment(given.token), 2);
    for (let more = true; more;) {
      const picture = await next();
      await tell(picture);
      if ((more = picture.more)) await loadNext();
    }
  },

  async change() {
    const store = environment(given.token);
    const { next } = await watched(store, 10);
    await tell(await next());
    await committed(store, Update, { id: given.taskId, input: { title: "Renamed" } });
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async refusals() {
    const store = environment(given.token);
    const input = { title: "Never" };
    const stale = await committed(store, Update, { id: given.taskId, input, ifVersion: 99 });
    await tell({ errors: stale.data.taskUpdate.errors });
    const invalid = await committed(store, Update, { id: given.taskId, input: { title: "" } });
    await tell({ errors: invalid.data.taskUpdate.errors });
    const foreign = await committed(store, Update, { id: given.foreignId, input });
    await tell({ codes: codesOf(foreign.errors) });
  },

  async live() {
    const store = environment(given.token);
    const { next } = await watched(store, 10);
    await tell(await next());
    const variables = { projectId: given.projectId, after: given.cursor };
    const event = new Promise((onNext, onError) =>
      relay.requestSubscription(store, { subscription: TaskChanged, variables, onNext, onError }),
    );
    await renameAsOther("Renamed");
    await tell(changed(await event));
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async stranger() {
    const store = environment("pws_wrong");
    await fetched(store, Organization, { slug: given.slug }).catch(({ codes }) => tell({ codes }));
    const closed = await new Promise((onError) =>
      relay.requestSubscription(store, {
        subscription: TaskChanged,
        variables: { projectId: given.projectId },
        onError,
      }),
    );
    await tell({ closed: closed.code });
  },

  async follow() {
    await endless((onError) =>
      relay.requestSubscription(environment(given.token), {
        subscription: Events,
        variables: { id: given.organizationId, after: given.cursor },
        onNext: ({ events }) => tell(events),
        onCompleted: () => onError("it was completed"),
        onError,
      }),
    );
  },

  async connections() {
    const store = environment(given.token);
    const { next, connections } = await watched(store, 10);
    await tell(await next());
    const input = { projectId: given.projectId, title: "Appended" };
    const { data } = await committed(store, Create, { input, connections });
    await tell(await next());
    await committed(store, Delete, { id: data.taskCreate.task.id, connections });
    await tell(await next());
  },

  async optimism() {
    const store = environment(given.token);
    const { next } = await watched(store, 10);
    await tell(await next());
    const optimisticResponse = {
      taskUpdate: { task: { id: given.taskId, title: "Hoped for", version: 2 }, errors: [] },
    };
    const variables = { id: given.taskId, input: { title: "Hoped for" }, ifVersion: 99 };
    await committed(store, Update, variables, { optimisticResponse });
    await tell(await next());
    await tell(await next());
  },
});
