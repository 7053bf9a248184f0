import { Agent as HttpAgent, request as httpRequest, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { toJson } from "./item.ts";
import { PublishError, type Transport } from "./transport.ts";

const TIMEOUT_MS = 30_000;
const TOKEN_LIFETIME_S = 3600;
/** Limit: an answer is read up to here, and the rest is not shown. Unit: bytes. */
const ANSWER_MAX_BYTES = 65_536;
/** What GRIP libraries put into the query of a GRIP_URL; it is for us, not for the proxy. */
const OWN_QUERY_NAMES = new Set(["iss", "key", "verify-iss", "verify-key"]);

/** One connection, so that lines arrive in their order. */
const ALIVE = { keepAlive: true, maxSockets: 1 };

/** What the system says of an error, in the words an operator of the original knows. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "Connection refused (os error 111)"],
  ["ECONNRESET", "unexpected end of file"],
  ["ENOTFOUND", "failed to lookup address information: Name or service not known"],
  ["EHOSTUNREACH", "No route to host (os error 113)"],
  ["ENETUNREACH", "Network is unreachable (os error 101)"],
  ["ETIMEDOUT", "Connection timed out (os error 110)"],
]);

interface Target {
  readonly isSecure: boolean;
  readonly host: string;
  readonly port: string;
  /** Everything after the authority, as it is written. */
  readonly path: string;
  readonly issuer: string | undefined;
  readonly key: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** `POST <path>/publish/` at the control port of a GRIP proxy. */
export async function openHttpTransport(spec: string, given: string): Promise<Transport> {
  const target = parseTarget(spec);
  if (target === undefined) throw new PublishError("invalid URL");
  if (given !== "" && !target.isSecure) throw new PublishError("Authentication requires https");
  let authorization = given;
  // A key in the URL means a token, as the GRIP libraries understand it.
  if (authorization === "" && target.key !== undefined)
    authorization = `Bearer ${await tokenOf(target.issuer, target.key)}`;
  const agent = target.isSecure ? new HttpsAgent(ALIVE) : new HttpAgent(ALIVE);
  return {
    async send(item) {
      let answer: Answer;
      try {
        answer = await post(target, agent, toJson([item]), authorization);
      } catch (error) {
        throw new PublishError(reasonOf(error), { cause: error });
      }
      if (answer.status !== 200) throw new PublishError(answer.text.trim());
    },
    async close() {
      agent.destroy();
    },
  };
}

function parseTarget(spec: string): Target | undefined {
  const [, scheme, authority = "", rest = ""] = /^(https?):\/\/([^/?#]*)(.*)$/is.exec(spec) ?? [];
  if (scheme === undefined || authority === "" || authority.includes("@")) return undefined;
  if (!URL.canParse(`${scheme}://${authority}/`)) return undefined;
  const url = new URL(`${scheme}://${authority}/`);
  const { path, own } = takeOwnQuery(rest);
  const isSecure = url.protocol === "https:";
  return {
    isSecure,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (isSecure ? "443" : "80") : url.port,
    path: path.startsWith("/") || path === "" ? path : `/${path}`,
    issuer: own.get("iss"),
    key: own.get("key"),
  };
}

/** The path without the names that are for us; a query of other names stays where it is. */
function takeOwnQuery(rest: string): { path: string; own: Map<string, string> } {
  const own = new Map<string, string>();
  const at = rest.indexOf("?");
  if (at < 0) return { path: rest, own };
  const kept = rest
    .slice(at + 1)
    .split("&")
    .filter((pair) => {
      const [name, value] = [...new URLSearchParams(pair)][0] ?? ["", ""];
      if (!OWN_QUERY_NAMES.has(name)) return true;
      own.set(name, value);
      return false;
    });
  if (kept.length > 0) return { path: `${rest.slice(0, at)}?${kept.join("&")}`, own };
  // Nothing but keys: "http://host/?key=x" means the same as "http://host".
  return { path: rest.slice(0, at).replace(/\/$/, ""), own };
}

async function tokenOf(issuer: string | undefined, key: string): Promise<string> {
  const { signToken } = await import("@pushpin/grip");
  // A plus sign that was not encoded comes out of a query as a blank.
  const secret = key.startsWith("base64:")
    ? Buffer.from(key.slice("base64:".length).replaceAll(" ", "+"), "base64")
    : Buffer.from(key);
  const exp = Math.floor(Date.now() / 1000) + TOKEN_LIFETIME_S;
  const claims = { exp, ...(issuer === undefined ? {} : { iss: issuer }) };
  return signToken(claims, { kind: "secret", secret });
}

function post(
  target: Target,
  agent: HttpAgent | HttpsAgent,
  body: string,
  authorization: string,
): Promise<Answer> {
  const options: RequestOptions = {
    method: "POST",
    agent,
    host: target.host,
    port: target.port,
    // Characters that cannot stand in a request line would be refused; the rest is literal.
    path: `${target.path.replace(/[^\x21-\x7e]/gu, encodeURIComponent)}/publish/`,
    headers: {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      ...(authorization === "" ? {} : { Authorization: authorization }),
    },
    timeout: TIMEOUT_MS,
  };
  const request = target.isSecure ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      const status = response.statusCode ?? 0;
      const answered = () => resolve({ status, text: Buffer.concat(pieces).toString() });
      response.on("data", (piece: Buffer) => {
        // Limit: ANSWER_MAX_BYTES
        const kept = piece.subarray(0, ANSWER_MAX_BYTES - bytes);
        bytes += kept.length;
        pieces.push(kept);
      });
      response.on("end", answered);
      // Half an error says more than that it was cut.
      response.on("error", (error) => (status === 200 ? reject(error) : answered()));
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
    sent.end(body);
  });
}

function reasonOf(error: unknown): string {
  // A host with several addresses fails with all their errors together.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const { code = "", message } = first as { code?: string; message: string };
  return REASONS.get(code) ?? (code.startsWith("HPE_") ? "invalid data" : message);
}
