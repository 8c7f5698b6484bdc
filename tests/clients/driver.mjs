// What every driver shares: what it was given, how it tells what it saw, and a socket that goes on where it was.
import { createClient } from "graphql-ws";
import { UPDATE } from "./documents.mjs";

/** What the test gives: one JSON object. */
export const given = JSON.parse(process.argv[2]);

/** Prints a line for the test; whoever waits for the promise has been heard. */
export const tell = (line) => new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, resolve));

/** Runs the story that the test names, and ends: clients leave timers behind. What is thrown fails the test. */
export async function play(stories) {
  await stories[given.story]();
  process.exit();
}

/** The requests that a client has sent through `watchedFetch`: method, URL, headers and body. */
export const sent = [];

export function watchedFetch(url, options = {}) {
  sent.push({ method: options.method ?? "GET", url: new URL(url), ...options });
  return fetch(url, options);
}

/** The data of an operation that no client sends. */
export async function ask(query, variables, { url = given.url, token } = {}) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

/** What another person does meanwhile, by another server when the test names one. */
export const renameAsOther = (title) =>
  ask(UPDATE, { id: given.taskId, input: { title } }, { url: given.otherUrl, token: given.otherToken });

/** An event of taskChanged, as every driver tells it. */
export const changed = ({ taskChanged: { event, task } }) => ({
  type: event.type,
  by: event.actor.name,
  title: task.title,
});

/** The tasks of a connection and whether it has more, as every driver tells them. */
export const shown = ({ edges, pageInfo }) => ({
  shown: edges.map(({ node }) => node.title),
  more: pageInfo.hasNextPage,
});

/** A screen: `show` changes what is to be seen, `next` resolves with the change after the last that was looked at. */
export function screen() {
  const seen = [];
  let look = () => {};
  return {
    show(picture) {
      seen.push(picture);
      look();
    },
    async next() {
      if (!seen.length) await new Promise((resolve) => (look = resolve));
      return seen.shift();
    },
  };
}

/** What never ends by itself; an error that `start` is handed fails the test. */
export const endless = (start) => new Promise((_resolve, reject) => start(reject));

/**
 * A graphql-ws client whose subscriptions go on behind the last event that came, however often the connection is lost.
 *
 * It sends the same payload at each try, so the variables may change meanwhile. An ErrorEvent, which a refused
 * connection gives, is no reason to stop. An Error is, for either side has broken the protocol, and so is 4403, because
 * the token will not become right. It sends no message without a query; an empty one, beside the name of a persisted
 * document, is left out.
 */
export function socketClient(token) {
  const client = createClient({
    url: given.url.replace(/^http/, "ws"),
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: Infinity,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
    shouldRetry: (event) => !(event instanceof Error) && event.code !== 4403,
    jsonMessageReplacer: (key, value) => (key === "query" && value === "" ? undefined : value),
  });
  const subscribe = (payload, sink) => {
    const variables = { ...payload.variables };
    const next = (result) => {
      const { events, taskChanged } = result.data ?? {};
      variables.after = (events ?? taskChanged?.event)?.cursor ?? variables.after;
      sink.next(result);
    };
    const rest = { error: (error) => sink.error(error), complete: () => sink.complete() };
    return client.subscribe({ ...payload, variables }, { next, ...rest });
  };
  // What is iterated over waits in a queue, where nobody can tell how far its reader has come.
  return { iterate: client.iterate, subscribe };
}
