/**
 * Requests to the Hugging Face Hub, or to a mirror of it (HF_ENDPOINT): a model's list of files, their sizes and
 * checksums, and what the Hub's refusals mean.
 */
import { z } from "zod";
import { systemCode, UserError } from "../lib/errors.ts";

/** Large files are known by the SHA-256 of their bytes, small ones by git's SHA-1 of a blob. */
export interface Checksum {
  kind: "sha256" | "git";
  hex: string;
}

export interface HubFile {
  path: string;
  /** -1 if the listing names none. */
  bytes: number;
  /** `null` if the server names none: then only the size can be compared. */
  sum: Checksum | null;
}

export interface HubModel {
  name: string;
  /** Every file comes from this commit. */
  commit: string;
  files: HubFile[];
}

export interface HubOptions {
  endpoint?: string;
  token?: string;
}

/** What went wrong between us and the Hub, and what to do. `transient`: the same request may soon succeed. */
export function hubError(
  what: string,
  remedy: string,
  { transient = false, cause }: { transient?: boolean; cause?: unknown } = {},
): UserError {
  return new UserError({ kind: "hub", what, remedy, data: { transient }, cause });
}

/** HF_ENDPOINT and HF_TOKEN. @throws UserError for unusable values; its message shows neither token nor password */
export function hubFromEnvironment({ HF_ENDPOINT, HF_TOKEN } = process.env): HubOptions {
  // Files that hold a token usually end with a line end.
  const token = HF_TOKEN?.trim() || undefined;
  const odd = token === undefined ? -1 : token.search(/[^\x21-\x7e]/);
  if (odd >= 0)
    throw hubError(
      `HF_TOKEN has a blank, a line end or another character that no token has, after ${odd} of ${token!.length} characters.`,
      "Copy the token again, alone: it is one word, such as hf_....",
    );
  const options = { endpoint: HF_ENDPOINT?.trim() || undefined, token };
  endpointOf(options);
  return options;
}

/** A warning if the connection to the Hub is not encrypted, or `null`. */
export function insecure(options: HubOptions): string | null {
  const { protocol, hostname, host } = new URL(endpointOf(options));
  if (protocol === "https:" || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) return null;
  const told = options.token === undefined ? "" : " HF_TOKEN goes there too.";
  return `HF_ENDPOINT is plain http: whoever is between here and ${host} can read and change what is fetched.${told}`;
}

/** OWNER/NAME, or NAME for a few old models. */
export const HUB_NAME = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/;

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const listingSchema = z.looseObject({
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
 * @throws UserError if there is no such model or revision, it may not be read, or nothing answers
 */
export async function listModel(
  name: string,
  revision = "main",
  options: HubOptions = {},
): Promise<HubModel> {
  if (!HUB_NAME.test(name))
    throw hubError(
      `"${name}" is no name of a model.`,
      "Write it as on the Hub, such as HuggingFaceTB/SmolLM2-135M.",
    );
  const endpoint = endpointOf(options);
  const url = `${endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const response = await request(url, options, { name, revision });
  const parsed = listingSchema.safeParse(await response.json().catch(() => null));
  if (!parsed.success)
    throw hubError(
      `${new URL(endpoint).host} answered with something else than a list of files.`,
      "Check HF_ENDPOINT, and whether a proxy or a login page answers instead.",
    );
  const { sha: commit, siblings } = parsed.data;
  const files = siblings.map(({ rfilename: path, size, blobId, lfs }): HubFile => {
    if (lfs) return { path, bytes: lfs.size, sum: { kind: "sha256", hex: lfs.sha256 } };
    return { path, bytes: size ?? -1, sum: blobId ? { kind: "git", hex: blobId } : null };
  });
  return { name, commit, files };
}

/** Adds the size and checksum that a listing lacks, from the headers with which a server sends the file. */
export async function describeFile(model: HubModel, file: HubFile, options: HubOptions): Promise<HubFile> {
  if (file.bytes >= 0 && file.sum !== null) return file;
  let url = fileUrl(model, file, options);
  for (let hop = 0; hop < 5; hop++) {
    // Redirects are followed by hand: the storage that they lead to does not know the checksum.
    const { headers } = await request(url, options, model, { method: "HEAD", redirect: "manual" });
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
  throw hubError(
    `The server does not say how large ${JSON.stringify(file.path)} is.`,
    "Check HF_ENDPOINT, or use another mirror.",
  );
}

/** A file's size from the answer to a request for its first byte; NaN if that does not tell it. */
async function sizeByRange(url: string, model: HubModel, options: HubOptions): Promise<number> {
  const response = await request(url, options, model, { headers: { range: "bytes=0-0" } });
  await response.body?.cancel();
  const { headers, status } = response;
  // Some servers answer with more than the first byte, some with the entire file.
  const [, total] = /^bytes 0-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "") ?? [];
  const entire = status === 200 && !headers.has("content-encoding") ? headers.get("content-length") : null;
  return Number(total ?? entire ?? Number.NaN);
}

/** The first bytes of a file, at most `count`, also from a server that ignores ranges. */
export async function firstBytes(
  model: HubModel,
  file: HubFile,
  count: number,
  options: HubOptions,
): Promise<Uint8Array> {
  const range = { range: `bytes=0-${count - 1}` };
  const response = await request(fileUrl(model, file, options), options, model, { headers: range });
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= count) break;
  }
  // A copy, because callers need a buffer that holds nothing else.
  return new Uint8Array(Buffer.concat(chunks).subarray(0, count));
}

export const fileUrl = ({ name, commit }: HubModel, { path }: HubFile, options: HubOptions): string =>
  `${endpointOf(options)}/${name}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;

function endpointOf({ endpoint = "https://huggingface.co" }: HubOptions): string {
  const url = /^https?:\/\/./.test(endpoint) && URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url !== null && url.username + url.password + url.search + url.hash === "")
    return endpoint.replace(/\/+$/, "");
  if (url !== null)
    throw hubError(
      `HF_ENDPOINT has more than an address: a user, a password or a query before or after ${url.host}.`,
      "Write the address alone, such as https://huggingface.co; a token belongs into HF_TOKEN.",
    );
  // The part before an @ may be a password.
  throw hubError(
    `HF_ENDPOINT is no address: ${JSON.stringify(endpoint.replace(/^.*@/s, "…@"))}.`,
    "Write the full address, such as https://huggingface.co.",
  );
}

/** Longest wait for a short answer. */
const ANSWER_MS = 30_000;

/** @param asked what the request is for, for messages. @throws UserError for a refusal, or if nothing answers */
export async function request(
  url: string,
  options: HubOptions,
  asked: { name: string; revision?: string },
  init: Omit<RequestInit, "headers"> & { headers?: Record<string, string> } = {},
): Promise<Response> {
  const { token } = options;
  // Only the Hub gets the token; fetch, too, drops it when a redirect leads to another host.
  const isHub = new URL(url).origin === new URL(endpointOf(options)).origin;
  const headers = {
    "user-agent": "sputnik-r1",
    // A compressed file would have another length than the listing and the ranges say.
    "accept-encoding": "identity",
    ...(token !== undefined && isHub && { authorization: `Bearer ${token}` }),
    ...init.headers,
  };
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), ...init, headers });
  } catch (error) {
    throw unreachable(url, error);
  }
  if (response.ok || (response.status >= 300 && response.status < 400)) return response;
  await response.body?.cancel();
  throw refusal(response, asked, token !== undefined);
}

/** The error for a connection that was never made, or that broke. */
export function unreachable(url: string, error: unknown): UserError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const silent = cause instanceof Error && /^(Abort|Timeout)Error$/.test(cause.name);
  const found = silent ? "silence" : (systemCode(cause) ?? String(cause));
  return hubError(
    `No answer from ${new URL(url).host} (${found}).`,
    "Check the network, or name a mirror: HF_ENDPOINT=https://... Node uses no proxy of the environment by itself. What has been downloaded is kept, and the same command continues from there.",
    { transient: true, cause: error },
  );
}

function refusal(
  { status, headers, url }: Response,
  { name, revision }: { name: string; revision?: string },
  loggedIn: boolean,
): UserError {
  const { host, origin } = new URL(url);
  const page = `${origin}/${name}`;
  const login = loggedIn
    ? "Does the token in HF_TOKEN belong to an account that may read it?"
    : "If it is private, put a token that may read it into HF_TOKEN.";
  const code = headers.get("x-error-code");
  switch (code) {
    case "GatedRepo":
      return hubError(
        `${name} is gated: its authors want to know who downloads it.`,
        loggedIn
          ? `Accept their terms on ${page} with the account of your HF_TOKEN.`
          : `Accept their terms on ${page}, make a token in your settings there, and put it into HF_TOKEN: HF_TOKEN=hf_... sputnik pull ${name}`,
      );
    case "RevisionNotFound":
      return hubError(
        `${name} has no revision "${revision}".`,
        `See ${page}/branches, or leave --revision out.`,
      );
    case "EntryNotFound":
      return hubError(`A file of ${name} is gone.`, "Run the command again.");
  }
  // The Hub answers 401, not 404, for a model that is not there.
  if (status === 404 || code === "RepoNotFound")
    return hubError(`There is no model ${name} on ${host}.`, `Check the spelling. ${login}`);
  if (status === 401 || status === 403)
    return hubError(`${name} may not be read (HTTP ${status}).`, `Does it exist? ${login}`);
  const transient = { transient: status >= 500 || status === 429 };
  if (status === 429)
    return hubError(
      "The Hub asks for patience (HTTP 429).",
      "Wait a few minutes, or log in with HF_TOKEN.",
      transient,
    );
  return hubError(`The Hub answered with HTTP ${status}.`, "Try again later.", transient);
}
