/** Starts the server that Tinker's client talks to: models, the thread that computes, and a port. */
import { isAbsolute, resolve } from "node:path";
import { isGguf } from "../../checkpoint/gguf/file.ts";
import { readShape } from "../../checkpoint/model.ts";
import { addressOf, closeServer, listenTo, mostConnections } from "../serve.ts";
import { createTinkerApp } from "./app.ts";
import { computeThread } from "./queue.ts";
import { type ServedModel, Service } from "./service.ts";

export interface TinkerOptions {
  /** Paths of Hugging Face folders and GGUF files, by the name that clients use. */
  models: ReadonlyMap<string, string>;
  /** Where weights are saved. */
  folder: string;
  host: string;
  /** `undefined`: 4848, or the next that is free. 0: any free one. */
  port?: number | undefined;
  apiKey?: string | undefined;
  /** That compute; as many as this process has cores unless given. */
  threads?: number | undefined;
}

export interface RunningTinker {
  /** `base_url` of a client. */
  url: string;
  close(): Promise<void>;
}

/** Each result that a client waits for takes a connection, and it asks for hundreds of samples at once. */
const MOST_CONNECTIONS = 4096;

/** @throws UserError for a model that cannot be read, and "port" for a port that cannot be had */
export async function startTinker(options: TinkerOptions): Promise<RunningTinker> {
  const { models, folder, host, port, apiKey, threads } = options;
  const served = [...models].map(([name, path]) => describe(name, path));
  const compute = computeThread({ models, threads });
  const service = new Service({ models: served, compute, folder });
  const app = createTinkerApp({ service, host, apiKey });
  const connections = mostConnections(MOST_CONNECTIONS);
  try {
    const listening = await listenTo(app.fetch, { host, port, connections });
    return {
      url: addressOf(host, listening.port),
      close: async () => {
        await closeServer(listening.server);
        await compute.close();
      },
    };
  } catch (error) {
    await compute.close();
    throw error;
  }
}

function describe(name: string, path: string): ServedModel {
  const { config } = readShape(path);
  return {
    name,
    maxPositions: config.maxPositions,
    // transformers takes a folder; for a GGUF file the client has to know the tokenizer's name.
    tokenizer: isGguf(path) ? name : isAbsolute(path) ? path : resolve(path),
  };
}
