// GraphiQL on /graphql of this host. Each example document is a tab until the browser has tabs of its own stored.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import signIn from "./examples/1-sign-in.graphql";
import lookAround from "./examples/2-look-around.graphql";
import taskCreate from "./examples/3-task-create.graphql";
import taskCreateVariables from "./examples/3-task-create.json";
import taskMove from "./examples/4-task-move.graphql";
import taskMoveVariables from "./examples/4-task-move.json";
import events from "./examples/5-events.graphql";
import eventsVariables from "./examples/5-events.json";

globalThis.MonacoEnvironment = {
  // WORKERS is put in by build.js: worker label -> hashed URL.
  getWorker: (_id, label) => new Worker(WORKERS[label] ?? WORKERS.editor),
};

const text = (variables) => JSON.stringify(variables, null, 2);

const subscriptionUrl = new URL("/graphql", location.href);
subscriptionUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, {
    fetcher: createGraphiQLFetcher({
      url: "/graphql",
      subscriptionUrl: subscriptionUrl.href,
      enableIncrementalDelivery: false,
    }),
    // No history: it would keep the Headers pane, and so bearer tokens, in the browser's storage.
    plugins: [],
    defaultEditorToolsVisibility: "headers",
    defaultTabs: [
      { query: signIn },
      { query: lookAround },
      { query: taskCreate, variables: text(taskCreateVariables) },
      { query: taskMove, variables: text(taskMoveVariables) },
      { query: events, variables: text(eventsVariables) },
    ],
  }),
);
