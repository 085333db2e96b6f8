/** A small Hub on this machine: a list of files, redirects of large ones to a second server, ranges, and faults to order. */
import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const NAME = "org/tiny-model";

/** How the next answers to a file go wrong; one entry each, then all is well. */
export type Fault =
  | { kind: "cut"; after: number }
  | { kind: "status"; status: number; code?: string }
  | { kind: "silence"; after: number }
  | { kind: "other bytes" }
  | { kind: "no ranges" };

export interface Request {
  path: string;
  method: string;
  range: string | undefined;
  authorization: string | undefined;
  encoding: string | undefined;
}

export class FakeHub {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly requests: Request[] = [];
  readonly stored: Request[] = [];
  /** By file name. */
  readonly faults = new Map<string, Fault[]>();
  /** Files above this many bytes are redirected, as LFS files are. */
  readonly large = 1000;
  /** What a request without this token gets for files. */
  gated: string | null = null;
  /** A listing of names only, as simple mirrors give. */
  bare = false;
  /** Redirects that say nothing of the file themselves. */
  silent = false;
  /** Answers that name no checksums, neither in the listing nor with the files. */
  unsummed = false;
  /** A mirror that compresses whatever it may. */
  compresses = false;
  /** Answers to HEAD that say no length. */
  lengthless = false;
  /** What the listing says of every small file. */
  sum: string | null = null;
  endpoint = "";
  private storage = "";
  private readonly servers: Server[] = [];

  constructor(files: Record<string, Buffer | string>) {
    this.files = new Map(Object.entries(files).map(([name, data]) => [name, Buffer.from(data as Buffer)]));
  }

  async start(): Promise<this> {
    this.endpoint = await this.listen((request, response) => this.answer(request, response));
    this.storage = await this.listen((request, response) => this.send(request, response, this.stored));
    return this;
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  private async listen(handler: RequestListener): Promise<string> {
    const server = createServer(handler);
    this.servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? "", "http://x");
    if (pathname.startsWith("/api/")) {
      this.requests.push(seen(request));
      this.list(pathname, response);
      return;
    }
    if (this.gated !== null && request.headers.authorization !== `Bearer ${this.gated}`) {
      this.requests.push(seen(request));
      response.writeHead(403, { "x-error-code": "GatedRepo" }).end();
      return;
    }
    const data = this.files.get(fileOf(request));
    if (data === undefined || data.length <= this.large || this.unsummed) {
      this.send(request, response, this.requests);
      return;
    }
    this.requests.push(seen(request));
    const linked = {
      "x-linked-etag": `"${sha256(data)}"`,
      "x-linked-size": data.length,
      etag: '"storage-tag"',
    };
    response.writeHead(302, {
      location: `${this.storage}/${fileOf(request)}?signature=x`,
      ...(!this.silent && linked),
    });
    response.end();
  }

  private list(path: string, response: ServerResponse): void {
    const [, , , ...rest] = path.split("/");
    const [name, revision] = rest.join("/").split("/revision/");
    const refuse = (code: string): unknown => response.writeHead(404, { "x-error-code": code }).end("{}");
    if (name !== NAME) return void refuse("RepoNotFound");
    if (revision !== "main" && revision !== COMMIT) return void refuse("RevisionNotFound");
    const siblings = [...this.files].map(([rfilename, data]) => {
      if (this.bare) return { rfilename };
      if (this.unsummed) return { rfilename, size: data.length };
      const lfs = data.length > this.large ? { sha256: sha256(data), size: data.length } : undefined;
      return { rfilename, size: data.length, blobId: this.sum ?? gitSum(data), lfs };
    });
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ id: name, sha: COMMIT, siblings }));
  }

  private send(request: IncomingMessage, response: ServerResponse, log: Request[]): void {
    log.push(seen(request));
    const file = fileOf(request);
    const data = this.files.get(file);
    if (data === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    const etag = this.unsummed ? '"1-2-3"' : `"${gitSum(data)}"`;
    const packed = this.compresses && /gzip/.test(String(request.headers["accept-encoding"]));
    if (packed) {
      const bytes = gzipSync(data);
      response.writeHead(200, { etag, "content-encoding": "gzip", "content-length": bytes.length });
      return void response.end(request.method === "HEAD" ? undefined : bytes);
    }
    if (request.method === "HEAD") {
      const length = this.lengthless ? { "transfer-encoding": "chunked" } : { "content-length": data.length };
      return void response.writeHead(200, { etag, ...length }).end();
    }
    const fault = this.faults.get(file)?.shift();
    if (fault?.kind === "status")
      return void response.writeHead(fault.status, fault.code ? { "x-error-code": fault.code } : {}).end();
    const [, last] = /^bytes=0-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (last !== undefined) {
      const part = data.subarray(0, Number(last) + 1);
      const range = { "content-length": part.length, "content-range": `bytes 0-${last}/${data.length}` };
      return void response.writeHead(206, { etag, ...range }).end(part);
    }
    const start =
      fault?.kind === "no ranges" ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const body = fault?.kind === "other bytes" ? Buffer.alloc(data.length - start, 1) : data.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, {
      etag,
      "content-length": body.length,
      ...(start > 0 && { "content-range": `bytes ${start}-${data.length - 1}/${data.length}` }),
    });
    if (fault?.kind === "cut") response.write(body.subarray(0, fault.after), () => response.destroy());
    else if (fault?.kind === "silence") response.write(body.subarray(0, fault.after));
    else response.end(body);
  }
}

const seen = (request: IncomingMessage): Request => ({
  path: request.url ?? "",
  method: request.method ?? "",
  range: request.headers.range,
  authorization: request.headers.authorization,
  encoding: request.headers["accept-encoding"] as string | undefined,
});

const fileOf = (request: IncomingMessage): string =>
  decodeURIComponent(new URL(request.url ?? "", "http://x").pathname.split("/").at(-1)!);

export const sha256 = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
/** As `git hash-object` computes it. */
export const gitSum = (data: Buffer): string =>
  createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
