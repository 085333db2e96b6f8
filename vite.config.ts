import { defineConfig } from "vite";

/** The server that `vite` (npx vite, for work on the page) asks for events and answers. */
const SERVER = "http://127.0.0.1:4848";

/** Bundles the live page (src/web) into dist/web, which the server hands out as static files. */
export default defineConfig({
  root: "src/web",
  base: "./",
  // Inlined files would need data: addresses that the page's content security policy refuses.
  build: { outDir: "../../dist/web", emptyOutDir: true, assetsInlineLimit: 0 },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: { "/events": SERVER, "/api": SERVER } },
});
