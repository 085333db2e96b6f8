/**
 * Protects a server on localhost from other sites: any site that a person visits can make their browser send requests
 * here. The Host header shows a name that was rebound to 127.0.0.1, Origin another site's script, and Sec-Fetch-Site a
 * request without Origin, such as an image's. If other people can reach the port, requests need a token.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export interface GuardOptions {
  /** The name or address that the server is bound to. */
  host: string;
  /** Required: in the address of the first request, then in a cookie, or as a bearer token. */
  token?: string;
}

/** Refuses foreign hosts, origins and sites with 403, a missing token with 401, and sets the headers of responses. */
export function guard({ host, token }: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    const url = new URL(c.req.url);
    if (!isOwnHost(url.hostname, host)) {
      const message = `This server does not answer to the name ${url.hostname}.`;
      return c.json({ message, remedy: `Open http://127.0.0.1:${ownPort(c, url)}/` }, 403);
    }
    const origin = c.req.header("origin");
    if ((origin !== undefined && !isSameHost(origin, url.host)) || comesFromAnotherSite(c))
      return c.json({ message: "Another site's page may not use this server.", remedy: null }, 403);
    if (token !== undefined) {
      const refused = checkToken(c, url, token);
      if (refused !== null) return refused;
    }
    await next();
    c.header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Referrer-Policy", "no-referrer");
    c.header("Cross-Origin-Resource-Policy", "same-origin");
  };
}

/** The refusal of a request without the token, or `null`. */
function checkToken(c: Context, url: URL, token: string): Response | null {
  // Cookies belong to a host, whatever the port, so each server of a host needs its own name.
  const cookie = `sputnik-${ownPort(c, url)}`;
  const given = url.searchParams.get("token");
  const bearer = /^Bearer (.+)$/.exec(c.req.header("authorization") ?? "")?.[1];
  const candidates = [given, bearer, getCookie(c, cookie)];
  if (!candidates.some((text) => text != null && equal(text, token)))
    return c.json(
      {
        message: "Other people use this machine, so this server wants the token that it printed.",
        remedy: "Open the whole address from the terminal, with ?token=...",
      },
      401,
    );
  if (given === null) return null;
  setCookie(c, cookie, token, { httpOnly: true, sameSite: "Strict", path: "/" });
  // Removes the token from the address, and so from the browser's history.
  if (c.req.method !== "GET" || url.pathname !== "/") return null;
  return c.redirect("/");
}

/** In constant time. */
function equal(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(a, b);
}

/** Browsers send this header, programs do not. A link to the page that a person followed is allowed. */
function comesFromAnotherSite(c: Context): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site === undefined || site === "same-origin" || site === "none") return false;
  const followed =
    c.req.header("sec-fetch-mode") === "navigate" && c.req.header("sec-fetch-dest") === "document";
  return !(followed && c.req.method === "GET" && c.req.path === "/");
}

/** The port of the socket; a proxy's Host header has another or none. */
function ownPort(c: Context, url: URL): number | string {
  const env = c.env as { incoming?: { socket?: { localPort?: number } } } | undefined;
  return env?.incoming?.socket?.localPort ?? (url.port || 80);
}

/** An address cannot be rebound, a name can, except localhost and the server's name. */
function isOwnHost(hostname: string, host: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === host || isIP(bare) !== 0;
}

function isSameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
