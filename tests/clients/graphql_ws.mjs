// graphql-ws: every operation over one socket.
import { createClient } from "graphql-ws";
import { EVENTS, ORGANIZATION, SIGN_IN, TASKS, TASK_CHANGED, UPDATE } from "./documents.mjs";
import { changed, endless, given, play, renameAsOther, shown, socketClient, tell } from "./driver.mjs";

/** The only result of a query or mutation. What it throws is the array of an `error` message, or a close event. */
async function result(client, query, variables) {
  for await (const found of client.iterate({ query, variables })) return found;
}

async function refusal(client, query, variables) {
  try {
    return await result(client, query, variables);
  } catch (errors) {
    return { errors };
  }
}

const taskChanges = (client) =>
  client.iterate({ query: TASK_CHANGED, variables: { projectId: given.projectId, after: given.cursor } });

await play({
  async signIn() {
    const nobody = createClient({ url: given.url.replace(/^http/, "ws") });
    const input = { email: given.email, password: "not the password" };
    const refused = await result(nobody, SIGN_IN, { input });
    await tell({ refused: refused.data.signIn.errors });
    const { data } = await result(nobody, SIGN_IN, { input: { ...input, password: given.password } });
    await tell({ signedIn: data.signIn.viewer.email });
    const found = await result(socketClient(data.signIn.token), ORGANIZATION, { slug: given.slug });
    await tell({ organization: found.data.organization });
  },

  async pages() {
    const client = socketClient(given.token);
    const edges = [];
    for (let after = null, more = true; more;) {
      const { data } = await result(client, TASKS, { id: given.projectId, first: 2, after });
      const page = data.project.tasks;
      edges.push(...page.edges);
      await tell(shown({ ...page, edges }));
      ({ hasNextPage: more, endCursor: after } = page.pageInfo);
    }
  },

  async refusals() {
    const client = socketClient(given.token);
    const input = { title: "Never" };
    const stale = await result(client, UPDATE, { id: given.taskId, input, ifVersion: 99 });
    await tell({ errors: stale.data.taskUpdate.errors });
    const invalid = await result(client, UPDATE, { id: given.taskId, input: { title: "" } });
    await tell({ errors: invalid.data.taskUpdate.errors });
    const foreign = await refusal(client, UPDATE, { id: given.foreignId, input });
    await tell({ codes: foreign.errors.map(({ extensions }) => extensions.code) });
  },

  async live() {
    const client = socketClient(given.token);
    const changes = taskChanges(client);
    for (const title of ["Renamed", "Renamed again"]) {
      await renameAsOther(title);
      const { value } = await changes.next();
      await tell(changed(value.data));
    }
  },

  async stranger() {
    const closed = await refusal(socketClient("pws_wrong"), ORGANIZATION, { slug: given.slug });
    await tell({ closed: closed.errors.code });
  },

  async follow() {
    const client = socketClient(given.token);
    const variables = { id: given.organizationId, after: given.cursor };
    const next = ({ data }) => tell({ ...data.events });
    await endless((error) =>
      client.subscribe({ query: EVENTS, variables }, { next, error, complete: () => error("it was completed") }),
    );
  },

  async beside() {
    const client = socketClient(given.token);
    const changes = taskChanges(client);
    const first = changes.next();
    for (const query of ["{ viewer {", "{ nothing }"]) {
      const { errors } = await refusal(client, query);
      await tell({ codes: errors.map(({ extensions }) => extensions?.code) });
    }
    await renameAsOther("Renamed");
    const { value } = await first;
    await tell({ title: value.data.taskChanged.task.title });
  },

  async signOut() {
    const client = socketClient(given.token);
    const changes = taskChanges(client);
    await renameAsOther("Renamed");
    await changes.next();
    const { data } = await result(client, "mutation { signOut { done } }");
    await tell(data.signOut);
    await changes.next().catch(({ code }) => tell({ closed: code }));
  },
});
