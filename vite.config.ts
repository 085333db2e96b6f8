import { defineConfig } from "vite";

/** Bundles the live page (src/web) into dist/web, which the server hands out as static files. */
export default defineConfig({
  root: "src/web",
  base: "./",
  build: { outDir: "../../dist/web", emptyOutDir: true },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
});
