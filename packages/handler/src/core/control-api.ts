import { type PublishItem, parsePublishBody, type Receipt } from "@pushpin/grip";
import { fromUtf8, toUtf8 } from "@pushpin/tnetstrings";
import {
  type AnswerFormat,
  type ControlRequest,
  type ControlResponse,
  chooseFormat,
} from "./control-exchange.ts";
import { type PartState, renderReadiness } from "./health.ts";

export interface ControlTarget {
  /** `done` is called when it would outlive this process, or after a while. */
  publish(items: readonly PublishItem[], done?: () => void): void;
  /** The same; `done` learns what became of each item, or what is known of it after a while. */
  publishWithReceipts(
    items: readonly PublishItem[],
    done: (receipts: readonly Receipt[]) => void,
  ): void;
  recover(): void;
  /** Looks at every part; `done` is called once. */
  readiness(done: (parts: readonly PartState[]) => void): void;
}

/** Health of the process and of all its parts; the original has neither, and only answers `/`. */
const HEALTH = new Set(["/livez", "/readyz"]);

const NOT_ACCEPTABLE = "Not Acceptable. Supported formats are text/plain and application/json.";

/**
 * What a request is answered. `run` is the work itself, to be done after the answer was sent: it never says
 * "delivered". `later` begins the work, and gives the answer when that is done.
 */
export type ControlAnswer =
  | { readonly response: ControlResponse; readonly run?: () => void }
  | { readonly later: (respond: (response: ControlResponse) => void) => void };

/** Answers one request of the HTTP control port (handler.md 7.3). */
export function answerControl(request: ControlRequest, target: ControlTarget): ControlAnswer {
  const format = chooseFormat(request.headers);
  if (format === undefined) return { response: text(406, NOT_ACCEPTABLE) };
  const { target: path } = request;
  if (RECEIPT.test(path) && request.method === "POST") {
    const items = parsePublishBody(request.body);
    if (!items.ok) return { response: text(400, items.error) };
    return {
      later: (respond) =>
        target.publishWithReceipts(items.value, (receipts) =>
          respond(withReceipts(items.value, receipts)),
        ),
    };
  }
  const name = path.endsWith("/") ? path.slice(0, -1) : path;
  if (HEALTH.has(name) && request.method !== "GET")
    return { response: notAllowed(request.method, "GET") };
  switch (name) {
    case "":
    case "/":
      return { response: text(200, "Pushpin API") };
    case "/livez":
      return { response: text(200, "ok") };
    case "/readyz":
      return {
        later: (respond) =>
          target.readiness((parts) => respond(renderReadiness(parts, format))),
      };
    case "/publish": {
      if (request.method !== "POST") return { response: notAllowed(request.method) };
      const items = parsePublishBody(request.body);
      if (!items.ok) return { response: text(400, items.error) };
      const response = done(format, "Published");
      return { later: (respond) => target.publish(items.value, () => respond(response)) };
    }
    case "/recover":
      if (request.method !== "POST") return { response: notAllowed(request.method) };
      return { response: done(format, "Updated"), run: () => target.recover() };
    default:
      return { response: text(404, "Not Found") };
  }
}

/** Ours: old publishers never ask for it. */
const RECEIPT = /^\/publish\/?\?receipt=1$/;

/** Counts as both the control port and the command socket tell them. */
export function receiptCounts(item: PublishItem, receipt: Receipt) {
  const { receivers, delivered, filtered, dropped } = receipt;
  return {
    channel: item.channel,
    ...(item.connection === undefined ? {} : { connection: item.connection }),
    ...(item.id === undefined ? {} : { id: item.id }),
    receivers,
    delivered,
    filtered,
    dropped,
    pending: receipt.pending,
    taken: receipt.isTaken,
  };
}

function withReceipts(
  items: readonly PublishItem[],
  receipts: readonly Receipt[],
): ControlResponse {
  const counts = items.map((item, i) => {
    const { channel, connection, id, ...rest } = receiptCounts(item, receipts[i] as Receipt);
    return {
      channel: toUtf8(channel),
      ...(connection === undefined ? {} : { connection: toUtf8(connection) }),
      ...(id === undefined ? {} : { id: toUtf8(id) }),
      ...rest,
    };
  });
  return {
    code: 200,
    contentType: "application/json",
    body: fromUtf8(`${JSON.stringify({ message: "Published", receipts: counts })}\n`),
  };
}

function text(code: number, body: string): ControlResponse {
  return { code, contentType: "text/plain", body: `${body}\n` };
}

function notAllowed(method: string, allowed = "POST"): ControlResponse {
  return {
    ...text(405, `Method not allowed: ${method}.`),
    extraHeaders: ["Allow", allowed],
  };
}

function done(format: AnswerFormat, message: string): ControlResponse {
  if (format === "text") return text(200, message);
  return {
    code: 200,
    contentType: "application/json",
    body: `{"message":"${message}"}\n`,
  };
}
