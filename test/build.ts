import { execSync } from "node:child_process";

/** Builds once before the slow tests, which run the built command and page. `SPUTNIK_BUILT=1` says that all is built. */
export default function setup(): void {
  if (!process.env.SPUTNIK_BUILT) execSync("npm run --silent build", { stdio: "inherit" });
}
