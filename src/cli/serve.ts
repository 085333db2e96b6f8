/** `sputnik serve --tinker`: programs that train with the Python package `tinker` train on this machine. */
import { randomBytes } from "node:crypto";
import color from "picocolors";
import { usageError } from "../lib/errors.ts";
import { findModel } from "../run/find-model.ts";
import { isLoopback } from "../server/serve.ts";
import { isSharedMachine } from "../server/shared.ts";
import { startTinker } from "../server/tinker/serve.ts";
import { printNotes } from "./notes.ts";
import { printable } from "./printable.ts";

export interface ServeCommand {
  model?: string[];
  folder: string;
  host: string;
  port?: number;
  apiKey?: string;
  threads?: number;
}

/** The shipped model's name where no model is named. */
const SHIPPED = "sputnik/tiny-r1-zero";
/** What the client expects a key to begin with. */
const KEY = "tml-";

export async function serve({
  model = [`${SHIPPED}=`],
  folder,
  host,
  port,
  threads,
  ...options
}: ServeCommand) {
  const models = new Map(model.map(named));
  const apiKey = options.apiKey ?? (isLoopback(host) && !isSharedMachine() ? undefined : newKey());
  if (apiKey !== undefined && !apiKey.startsWith(KEY))
    throw usageError(
      `Tinker's client takes no key that does not begin with ${KEY}.`,
      `Use --api-key ${KEY}...`,
    );
  const server = await startTinker({ models, folder, host, port, apiKey, threads });
  const names = [...models.keys()].map((name) => color.bold(printable(name))).join(", ");
  console.log(`${color.bold("Sputnik")} trains and samples ${names} for clients of tinker.

  TINKER_BASE_URL=${server.url} TINKER_API_KEY=${apiKey ?? `${KEY}any`}

In Python: tinker.ServiceClient().create_lora_training_client(${JSON.stringify([...models.keys()][0])}).
Weights are saved in ${printable(folder)}. Ctrl-C ends.`);
  await new Promise((resolve) => process.once("SIGINT", resolve));
  await server.close();
}

const newKey = (): string => `${KEY}${randomBytes(16).toString("hex")}`;

/** NAME=MODEL, or MODEL alone under its own name. @throws UserError for a model that is not there */
function named(text: string): [string, string] {
  const [name, target] = text.includes("=") ? text.split(/=(.*)/s, 2) : [text, text];
  if (name === "") throw usageError(`--model ${text} has no name.`, "Write --model NAME=MODEL.");
  const { folder } = findModel(target === "" ? undefined : target);
  printNotes(folder);
  return [name, folder];
}
