/** The built command is started by its name: through npm's links that needs the executable bit. */
import { chmodSync } from "node:fs";

chmodSync("dist/cli/main.js", 0o755);
