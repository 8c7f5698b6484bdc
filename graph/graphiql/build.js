// Bundles the page into dist/: index.html, and under assets/ hashed files that are served below /graphiql.
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const shared = {
  bundle: true,
  minify: true,
  metafile: true,
  outdir: "dist/assets",
  publicPath: "/graphiql",
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  loader: { ".graphql": "text" },
  logLevel: "warning",
};

/** Bundles each entry point; returns its URL by its name. */
async function bundle(entryPoints, options) {
  const { metafile } = await build({ ...shared, ...options, entryPoints });
  const files = Object.keys(metafile.outputs).map((path) => basename(path));
  const url = (name) => `/graphiql/${files.find((file) => file.startsWith(`${name}-`))}`;
  return Object.fromEntries(Object.keys(entryPoints).map((name) => [name, url(name)]));
}

await rm("dist", { recursive: true, force: true });
const workers = await bundle({
  editor: "monaco-editor/esm/vs/editor/editor.worker.js",
  graphql: "monaco-graphql/esm/graphql.worker.js",
  json: "monaco-editor/esm/vs/language/json/json.worker.js",
});
const { style } = await bundle({ style: "style.css" });
const { main } = await bundle(
  { main: "main.js" },
  {
    format: "esm",
    splitting: true,
    define: { WORKERS: JSON.stringify(workers) },
    // GraphiQL imports the parsers as CommonJS, whose named exports are lost in a split bundle. These are the same as
    // modules.
    alias: {
      "prettier/parser-babel": "prettier/plugins/babel",
      "prettier/parser-graphql": "prettier/plugins/graphql",
    },
    // Monaco's modules import their own CSS, which style.css already holds.
    loader: { ...shared.loader, ".css": "empty" },
  },
);
const html = await readFile("index.html", "utf8");
await writeFile("dist/index.html", html.replace("{style}", style).replace("{main}", main));
