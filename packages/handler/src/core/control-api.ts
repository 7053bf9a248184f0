import { type PublishItem, parsePublishBody } from "@pushpin/grip";
import {
  type AnswerFormat,
  type ControlRequest,
  type ControlResponse,
  chooseFormat,
} from "./control-exchange.ts";

export interface ControlTarget {
  publish(items: readonly PublishItem[]): void;
  recover(): void;
}

const NOT_ACCEPTABLE = "Not Acceptable. Supported formats are text/plain and application/json.";

/**
 * Answers one request of the HTTP control port (handler.md 7.3). `run` is the work itself, to be
 * done after the answer was sent: it never says "delivered".
 */
export function answerControl(
  request: ControlRequest,
  target: ControlTarget,
): { response: ControlResponse; run?: () => void } {
  const format = chooseFormat(request.headers);
  if (format === undefined) return { response: text(406, NOT_ACCEPTABLE) };
  const { target: path } = request;
  switch (path.endsWith("/") ? path.slice(0, -1) : path) {
    case "":
    case "/":
      return { response: text(200, "Pushpin API") };
    case "/publish": {
      if (request.method !== "POST") return { response: notAllowed(request.method) };
      const items = parsePublishBody(request.body);
      if (!items.ok) return { response: text(400, items.error) };
      return {
        response: done(format, "Published"),
        run: () => target.publish(items.value),
      };
    }
    case "/recover":
      if (request.method !== "POST") return { response: notAllowed(request.method) };
      return { response: done(format, "Updated"), run: () => target.recover() };
    default:
      return { response: text(404, "Not Found") };
  }
}

function text(code: number, body: string): ControlResponse {
  return { code, contentType: "text/plain", body: `${body}\n` };
}

function notAllowed(method: string): ControlResponse {
  return {
    ...text(405, `Method not allowed: ${method}.`),
    extraHeaders: ["Allow", "POST"],
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
