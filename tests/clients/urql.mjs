// urql: its normalized cache, over HTTP, where it sends queries by GET, and graphql-ws.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { getIntrospectionQuery } from "graphql";
import { EVENTS, ORGANIZATION, SIGN_IN, TASKS, TASK_CHANGED, UPDATE } from "./documents.mjs";
import {
  ask,
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

// What the cache knows types by. An application asks for it when it is built, with the query that every tool sends.
const schema = await ask(getIntrospectionQuery());

function urql(token) {
  const socket = socketClient(token);
  return new Client({
    url: given.url,
    fetch: watchedFetch,
    fetchOptions: { headers: token ? { authorization: `Bearer ${token}` } : {} },
    exchanges: [
      cacheExchange({
        schema,
        resolvers: { Project: { tasks: relayPagination() } },
      }),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (payload) => ({ subscribe: (sink) => ({ unsubscribe: socket.subscribe(payload, sink) }) }),
      }),
    ],
  });
}

const codes = ({ graphQLErrors, networkError }) => {
  if (networkError) throw networkError;
  return graphQLErrors.map(({ extensions }) => extensions.code);
};

const update = (client, variables) => client.mutation(UPDATE, variables).toPromise();

/** A list of tasks on a screen, longer with each page that is asked for. */
function watched(client, first) {
  const { show, next } = screen();
  let last, cursor;
  const page = (after) =>
    client.query(TASKS, { id: given.projectId, first, after }).subscribe(({ data, error, stale }) => {
      if (error) throw error;
      const picture = shown(data.project.tasks);
      // Each page that was asked for tells the whole list.
      if (stale || JSON.stringify(picture) === last) return;
      last = JSON.stringify(picture);
      cursor = data.project.tasks.pageInfo.endCursor;
      show(picture);
    });
  page();
  return { next, nextPage: () => page(cursor) };
}

await play({
  async signIn() {
    const input = { email: given.email, password: "not the password" };
    const refused = await urql().mutation(SIGN_IN, { input });
    await tell({ refused: refused.data.signIn.errors });
    const { data } = await urql().mutation(SIGN_IN, { input: { ...input, password: given.password } });
    await tell({ signedIn: data.signIn.viewer.email });
    const found = await urql(data.signIn.token).query(ORGANIZATION, { slug: given.slug });
    await tell({ organization: found.data.organization });
  },

  async pages() {
    const { next, nextPage } = watched(urql(given.token), 2);
    for (let more = true; more;) {
      const picture = await next();
      await tell(picture);
      if ((more = picture.more)) nextPage();
    }
  },

  async change() {
    const client = urql(given.token);
    const { next } = watched(client, 10);
    await tell(await next());
    await update(client, { id: given.taskId, input: { title: "Renamed" } });
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async refusals() {
    const client = urql(given.token);
    const input = { title: "Never" };
    const stale = await update(client, { id: given.taskId, input, ifVersion: 99 });
    await tell({ errors: stale.data.taskUpdate.errors });
    const invalid = await update(client, { id: given.taskId, input: { title: "" } });
    await tell({ errors: invalid.data.taskUpdate.errors });
    const foreign = await update(client, { id: given.foreignId, input });
    await tell({ codes: codes(foreign.error) });
  },

  async live() {
    const client = urql(given.token);
    const { next } = watched(client, 10);
    await tell(await next());
    const variables = { projectId: given.projectId, after: given.cursor };
    const event = new Promise((resolve) => client.subscription(TASK_CHANGED, variables).subscribe(resolve));
    await renameAsOther("Renamed");
    await tell(changed((await event).data));
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async stranger() {
    const client = urql("pws_wrong");
    const { error } = await client.query(ORGANIZATION, { slug: given.slug });
    await tell({ codes: codes(error) });
    const closed = await client.subscription(TASK_CHANGED, { projectId: given.projectId }).toPromise();
    await tell({ closed: closed.error.networkError.code });
  },

  async follow() {
    const variables = { id: given.organizationId, after: given.cursor };
    await endless((error) =>
      urql(given.token)
        .subscription(EVENTS, variables)
        .subscribe(({ data, error: failure }) => (failure ? error(failure) : tell(data.events))),
    );
  },

  async methods() {
    const client = urql(given.token);
    await client.query(ORGANIZATION, { slug: given.slug });
    await update(client, { id: given.taskId, input: { title: "Renamed" } });
    await tell(sent.map(({ method }) => method));
  },
});
