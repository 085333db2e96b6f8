/**
 * Makes the built command callable by its name in a clone, as an installed package's is: `npx sputnik` looks into
 * node_modules/.bin first, and would otherwise ask the registry for a stranger of that name.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const bin = join("node_modules", ".bin");
chmodSync(join("dist", "cli", "main.js"), 0o755);
// Where the package is installed in another one, npm has made the link there.
if (existsSync("node_modules")) {
  mkdirSync(bin, { recursive: true });
  const link = join(bin, "sputnik");
  if (process.platform === "win32")
    writeFileSync(`${link}.cmd`, '@node "%~dp0\\..\\..\\dist\\cli\\main.js" %*\r\n');
  else {
    rmSync(link, { force: true });
    symlinkSync(join("..", "..", "dist", "cli", "main.js"), link);
  }
}
