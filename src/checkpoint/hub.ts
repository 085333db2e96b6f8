/**
 * A model's list of files on the Hugging Face Hub (or a mirror of it, HF_ENDPOINT), and which of them we need.
 * `@huggingface/hub` downloads too, but does not resume a cut file and compares no checksum.
 */
import { z } from "zod";
import { systemCode } from "./errors.ts";
import { INDEX, SHARD, WEIGHTS } from "./shards.ts";

/** What went wrong between us and the Hub, and what to do. */
export class HubError extends Error {
  override name = "HubError";
  readonly remedy: string;
  /** Whether the same request may work in a moment. */
  readonly transient: boolean;

  constructor(
    message: string,
    remedy: string,
    { transient = false, cause }: { transient?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.remedy = remedy;
    this.transient = transient;
  }
}

/** Large files are known by the SHA-256 of their bytes, small ones by git's SHA-1 of a blob. */
export interface Checksum {
  kind: "sha256" | "git";
  hex: string;
}

export interface HubFile {
  path: string;
  bytes: number;
  /** `null` where the server names none: then the size alone can be compared. */
  sum: Checksum | null;
}

export interface HubModel {
  name: string;
  /** Every file comes from this one commit. */
  commit: string;
  files: HubFile[];
}

export interface HubOptions {
  endpoint?: string;
  token?: string;
}

export const hubFromEnvironment = (): HubOptions => ({
  endpoint: process.env.HF_ENDPOINT || undefined,
  token: process.env.HF_TOKEN || undefined,
});

/** OWNER/NAME, or NAME for a few old ones. */
export const HUB_NAME = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/;

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const Listing = z.looseObject({
  sha: sha1,
  siblings: z.array(
    z.looseObject({
      rfilename: z.string(),
      size: z.int().nonnegative().nullish(),
      blobId: sha1.nullish(),
      lfs: z.looseObject({ sha256, size: z.int().nonnegative() }).nullish(),
    }),
  ),
});

/**
 * The model's files at a revision, with sizes and checksums.
 * @throws HubError if there is no such model or revision, it may not be read, or nothing answers
 */
export async function listModel(
  name: string,
  revision = "main",
  options: HubOptions = {},
): Promise<HubModel> {
  if (!HUB_NAME.test(name))
    throw new HubError(
      `"${name}" is no name of a model.`,
      "Write it as on the Hub, such as HuggingFaceTB/SmolLM2-135M.",
    );
  const url = `${endpointOf(options)}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const response = await request(url, options, { name, revision });
  const parsed = Listing.safeParse(await response.json().catch(() => null));
  if (!parsed.success)
    throw new HubError(
      `${endpointOf(options)} answered with something else than a list of files.`,
      "Check HF_ENDPOINT, and whether a proxy or a login page stands between.",
    );
  const { sha: commit, siblings } = parsed.data;
  const files = siblings.map(({ rfilename: path, size, blobId, lfs }): HubFile => {
    if (lfs) return { path, bytes: lfs.size, sum: { kind: "sha256", hex: lfs.sha256 } };
    return { path, bytes: size ?? -1, sum: blobId ? { kind: "git", hex: blobId } : null };
  });
  return { name, commit, files };
}

/** Sizes and checksums of a listing that lacks them, from the headers that every server of files sends. */
export async function describeFile(model: HubModel, file: HubFile, options: HubOptions): Promise<HubFile> {
  if (file.bytes >= 0 && file.sum !== null) return file;
  let url = fileUrl(model, file, options);
  for (let hop = 0; hop < 5; hop++) {
    // Not followed: the storage behind the redirect does not know the checksum.
    const response = await request(
      url,
      options,
      { name: model.name },
      { method: "HEAD", redirect: "manual" },
    );
    const { headers } = response;
    const tag = (headers.get("x-linked-etag") ?? headers.get("etag") ?? "").replace(/^W\/|"/g, "");
    const location = headers.get("location");
    if (!headers.has("x-linked-etag") && location !== null) {
      url = new URL(location, url).href;
      continue;
    }
    const length = headers.get("x-linked-size") ?? headers.get("content-length");
    if (length === null) break;
    const kind = sha256.safeParse(tag).success ? "sha256" : sha1.safeParse(tag).success ? "git" : null;
    return { ...file, bytes: Number(length), sum: kind === null ? null : { kind, hex: tag } };
  }
  throw new HubError(`The server does not say how large ${file.path} is.`, "Check HF_ENDPOINT.");
}

export const fileUrl = ({ name, commit }: HubModel, { path }: HubFile, options: HubOptions): string =>
  `${endpointOf(options)}/${name}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;

function endpointOf({ endpoint = "https://huggingface.co" }: HubOptions): string {
  if (/^https?:\/\/./.test(endpoint) && URL.canParse(endpoint)) return endpoint.replace(/\/+$/, "");
  throw new HubError(
    `HF_ENDPOINT is no address: ${JSON.stringify(endpoint)}.`,
    "Write it whole, such as https://huggingface.co.",
  );
}

/** Longest wait for a short answer. */
const ANSWER_MS = 30_000;

/** @throws HubError for a refusal, or where nothing answers */
export async function request(
  url: string,
  options: HubOptions,
  asked: { name: string; revision?: string },
  init: Omit<RequestInit, "headers"> & { headers?: Record<string, string> } = {},
): Promise<Response> {
  const { token } = options;
  // The token is for the Hub alone; fetch, too, leaves it out when a redirect leads to another host.
  const login: Record<string, string> =
    token === undefined || new URL(url).origin !== new URL(endpointOf(options)).origin
      ? {}
      : { authorization: `Bearer ${token}` };
  let response: Response;
  try {
    const headers = { "user-agent": "sputnik-r1", ...login, ...init.headers };
    response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), ...init, headers });
  } catch (error) {
    throw unreachable(url, error);
  }
  if (response.ok || (response.status >= 300 && response.status < 400)) return response;
  await response.body?.cancel();
  throw refusal(response, asked, token !== undefined);
}

/** A connection that was never made, or broke. */
export function unreachable(url: string, error: unknown): HubError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const silent = cause instanceof Error && /^(Abort|Timeout)Error$/.test(cause.name);
  const found = silent ? "silence" : (systemCode(cause) ?? String(cause));
  return new HubError(
    `No answer from ${new URL(url).host} (${found}).`,
    "Check the network, or name a mirror: HF_ENDPOINT=https://... Node uses no proxy of the environment by itself. What has been fetched stays, and the same command goes on from there.",
    { transient: true, cause: error },
  );
}

function refusal(
  { status, headers, url }: Response,
  { name, revision }: { name: string; revision?: string },
  loggedIn: boolean,
): HubError {
  const page = `${new URL(url).origin}/${name}`;
  const code = headers.get("x-error-code");
  const login = loggedIn
    ? "Does the token in HF_TOKEN belong to an account that may read it?"
    : "If it is private, put a token that may read it into HF_TOKEN.";
  if (code === "GatedRepo")
    return new HubError(
      `${name} is gated: its authors want to know who downloads it.`,
      loggedIn
        ? `Accept their terms on ${page} with the account of your HF_TOKEN.`
        : `Accept their terms on ${page}, make a token in your settings there, and put it into HF_TOKEN: HF_TOKEN=hf_... sputnik pull ${name}`,
    );
  if (code === "RevisionNotFound")
    return new HubError(
      `${name} has no revision "${revision}".`,
      `See ${page}/branches, or leave --revision out.`,
    );
  if (code === "EntryNotFound") return new HubError(`A file of ${name} is gone.`, "Run the command again.");
  if (code === "RepoNotFound" || status === 404)
    return new HubError(`There is no model ${name} on ${new URL(url).host}.`, `Check the spelling. ${login}`);
  if (status === 401 || status === 403)
    return new HubError(`${name} may not be read (HTTP ${status}).`, `Does it exist? ${login}`);
  if (status === 429)
    return new HubError(
      "The Hub asks for patience (HTTP 429).",
      "Wait a few minutes, or log in with HF_TOKEN.",
      {
        transient: true,
      },
    );
  return new HubError(`The Hub answered with HTTP ${status}.`, "Try again later.", {
    transient: status >= 500,
  });
}

const SMALL_FILES = [
  ...["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
  "chat_template.jinja",
];
/** Of several GGUF files the first of these: the most exact that is not larger than it need be. */
const GGUF_ORDER = ["Q8_0", "F16", "BF16", "Q6_K", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "F32"];

/**
 * What a model folder of ours is made of: configs, tokenizer, and safetensors; or one GGUF, chosen by `file`.
 * @throws HubError naming what there is, if that is nothing we read
 */
export function neededFiles({ name, files }: HubModel, file?: string): HubFile[] {
  const named = (path: string) => files.find((one) => one.path === path);
  const ggufs = files.filter(({ path }) => /\.gguf$/i.test(path) && !/-\d{5}-of-\d{5}\.gguf$/i.test(path));
  if (file !== undefined) {
    const chosen = ggufs.find(({ path }) => path === file);
    if (chosen !== undefined) return [chosen];
    throw new HubError(`${name} has no GGUF file "${file}".`, `It has ${listed(ggufs)}.`);
  }
  const index = named(INDEX);
  const single = named(WEIGHTS);
  const shards = files.filter(({ path }) => SHARD.test(path));
  const weights = single !== undefined ? [single] : index !== undefined ? [index, ...shards] : [];
  if (weights.length > 0) return [...SMALL_FILES.flatMap((path) => named(path) ?? []), ...weights];
  const order = ({ path }: HubFile) => {
    const rank = GGUF_ORDER.findIndex((kind) => new RegExp(`(^|[-._])${kind}\\.gguf$`, "i").test(path));
    return rank < 0 ? GGUF_ORDER.length : rank;
  };
  const [best] = ggufs.toSorted((a, b) => order(a) - order(b));
  if (best !== undefined) return [best];
  throw new HubError(
    `${name} has neither safetensors nor a GGUF file: it has ${listed(files)}.`,
    "PyTorch's .bin and .pt files are not read, since opening them runs code. Look for another copy of the model.",
  );
}

function listed(files: HubFile[]): string {
  const names = files.map(({ path }) => path);
  if (names.length === 0) return "none";
  return names.length <= 8
    ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
}
