/** Fetches ONNX Runtime's CUDA libraries, which a plain install leaves out: `npm run gpu:setup`. */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const script = require.resolve("onnxruntime-node/script/install.js");
const env: NodeJS.ProcessEnv = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "true" };
const { status, stderr } = spawnSync(process.execPath, [script], {
  env,
  stdio: ["ignore", "inherit", "pipe"],
  encoding: "utf8",
});
if (status !== 0) {
  const reason =
    stderr
      .split("\n")
      .find((line) => /error/i.test(line))
      ?.trim() ?? "it gave no reason";
  console.error(`error ONNX Runtime's CUDA libraries could not be fetched: ${reason}`);
  console.error(
    "\nwhat to do  They come from NuGet: check that this machine reaches it (or its proxy). The CPU works without them.",
  );
  process.exit(1);
}
console.log(
  "Fetched. They need CUDA 12 and cuDNN 9 on this machine; npx sputnik doctor shows what is there.",
);
