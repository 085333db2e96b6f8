/**
 * A model's list of files on the Hugging Face Hub (or a mirror of it, HF_ENDPOINT), and which of them we need.
 * `@huggingface/hub` downloads too, but does not resume a cut file and compares no checksum.
 */
import { z } from "zod";
import { systemCode } from "../lib/disk.ts";
import { HubError, type HubFile, type HubModel } from "./hub-error.ts";

export { HubError, type HubFile, type HubModel } from "./hub-error.ts";
export { neededFiles } from "./hub-files.ts";

export interface HubOptions {
  endpoint?: string;
  token?: string;
}

/** HF_ENDPOINT and HF_TOKEN. @throws HubError for values that cannot be used; it shows neither token nor password */
export function hubFromEnvironment({ HF_ENDPOINT, HF_TOKEN } = process.env): HubOptions {
  // Files that hold a token end with a line end as a rule.
  const token = HF_TOKEN?.trim() || undefined;
  const odd = token === undefined ? -1 : token.search(/[^\x21-\x7e]/);
  if (odd >= 0)
    throw new HubError(
      `HF_TOKEN has a blank, a line end or another character that no token has, after ${odd} of ${token!.length} characters.`,
      "Copy the token again, alone: it is one word, such as hf_....",
    );
  const options = { endpoint: HF_ENDPOINT?.trim() || undefined, token };
  endpointOf(options);
  return options;
}

/** What a person should know of the way to the Hub, or `null`. */
export function insecure(options: HubOptions): string | null {
  const { protocol, hostname, host } = new URL(endpointOf(options));
  if (protocol === "https:" || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) return null;
  const told = options.token === undefined ? "" : " HF_TOKEN goes there too.";
  return `HF_ENDPOINT is plain http: whoever is between here and ${host} can read and change what is fetched.${told}`;
}

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
      `${new URL(endpointOf(options)).host} answered with something else than a list of files.`,
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
    // The length of a compressed answer is not the file's.
    const plain = !/\S/.test(headers.get("content-encoding")?.replace("identity", "") ?? "");
    const stated = headers.get("x-linked-size") ?? (plain ? headers.get("content-length") : null);
    const bytes = file.bytes >= 0 ? file.bytes : Number(stated ?? (await sizeByRange(url, model, options)));
    if (!Number.isSafeInteger(bytes) || bytes < 0) break;
    const kind = sha256.safeParse(tag).success ? "sha256" : sha1.safeParse(tag).success ? "git" : null;
    return { ...file, bytes, sum: kind === null ? null : { kind, hex: tag } };
  }
  throw new HubError(
    `The server does not say how large ${JSON.stringify(file.path)} is.`,
    "Check HF_ENDPOINT, or use another mirror.",
  );
}

/** A file's size by the answer to a request for its first byte; NaN where the server has none. */
async function sizeByRange(url: string, model: HubModel, options: HubOptions): Promise<number> {
  const init = { headers: { range: "bytes=0-0" } };
  const response = await request(url, options, { name: model.name }, init);
  await response.body?.cancel();
  const { headers, status } = response;
  // Some servers answer with more than the first byte, some with the whole file.
  const [, total] = /^bytes 0-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "") ?? [];
  const whole = status === 200 && !headers.has("content-encoding") ? headers.get("content-length") : null;
  return Number(total ?? whole ?? Number.NaN);
}

/** The first bytes of a file, at most `count`; a server that sends it all is not listened to further. */
export async function firstBytes(
  model: HubModel,
  file: HubFile,
  count: number,
  options: HubOptions,
): Promise<Uint8Array> {
  const init = { headers: { range: `bytes=0-${count - 1}` } };
  const response = await request(fileUrl(model, file, options), options, { name: model.name }, init);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= count) break;
  }
  // A copy: its buffer holds nothing else.
  return new Uint8Array(Buffer.concat(chunks).subarray(0, count));
}

export const fileUrl = ({ name, commit }: HubModel, { path }: HubFile, options: HubOptions): string =>
  `${endpointOf(options)}/${name}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;

function endpointOf({ endpoint = "https://huggingface.co" }: HubOptions): string {
  const url = /^https?:\/\/./.test(endpoint) && URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url !== null && url.username + url.password + url.search + url.hash === "")
    return endpoint.replace(/\/+$/, "");
  if (url !== null)
    throw new HubError(
      `HF_ENDPOINT has more than an address: a user, a password or a query before or after ${url.host}.`,
      "Write the address alone, such as https://huggingface.co; a token belongs into HF_TOKEN.",
    );
  // What is before an @ may be a password.
  throw new HubError(
    `HF_ENDPOINT is no address: ${JSON.stringify(endpoint.replace(/^.*@/s, "…@"))}.`,
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
    // Compressed on the way, a file would have another length than the listing and the ranges say.
    const always = { "user-agent": "sputnik-r1", "accept-encoding": "identity" };
    const headers = { ...always, ...login, ...init.headers };
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
