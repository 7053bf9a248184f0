import { StringDecoder } from "node:string_decoder";
import { type Bytes, fromUtf8, toBuffer, toUtf8 } from "@pushpin/tnetstrings";

export interface JsonpOptions {
  /** Byte string; JavaScript as the client gave it. */
  readonly callback: string;
  /** Status and headers go along; otherwise only the body, which then is JavaScript itself. */
  readonly isExtended: boolean;
}

interface JsonpResponse {
  readonly code: number;
  readonly reason: string;
  /** Flat. */
  readonly headers: readonly string[];
}

/**
 * A whole answer as the handler writes it: compact JSON with sorted members, repeated headers joined
 * (handler.md A.6).
 */
export function renderJsonp(
  options: JsonpOptions,
  response: JsonpResponse & { readonly body: Bytes },
): string {
  const callback = toUtf8(options.callback);
  const text = toUtf8(response.body);
  if (!options.isExtended) return fromUtf8(`/**/${callback}(${text.replace(/\r?\n$/, "")});\n`);
  const headers = renderHeaders(response.headers, (values) => values.join(", "));
  const reason = JSON.stringify(toUtf8(response.reason));
  return fromUtf8(
    `/**/${callback}({"body":${JSON.stringify(text)},"code":${response.code},"headers":${headers},"reason":${reason}});\n`,
  );
}

function renderHeaders(
  headers: readonly string[],
  choose: (values: readonly string[]) => string,
): string {
  const byName = new Map<string, string[]>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const values = byName.get(name);
    if (values === undefined) byName.set(name, [headers[i + 1] as string]);
    else values.push(headers[i + 1] as string);
  }
  const members = [...byName.keys()]
    .sort()
    .map(
      (name) =>
        `${JSON.stringify(toUtf8(name))}:${JSON.stringify(toUtf8(choose(byName.get(name) ?? [])))}`,
    );
  return `{${members.join(",")}}`;
}

/** A relayed answer as the proxy writes it, piece by piece (proxy.md 4.3). */
export class JsonpStream {
  readonly #options: JsonpOptions;
  readonly #decoder = new StringDecoder("utf8");
  /** A line break that is dropped if nothing follows it; basic form only. */
  #held = "";

  constructor(options: JsonpOptions) {
    this.#options = options;
  }

  open(response: JsonpResponse): string {
    const start = `/**/${this.#options.callback}(`;
    if (!this.#options.isExtended) return start;
    const reason = fromUtf8(JSON.stringify(toUtf8(response.reason)));
    const headers = fromUtf8(renderHeaders(response.headers, (values) => values[0] as string));
    return `${start}{"code": ${response.code}, "reason": ${reason}, "headers": ${headers}, "body": "`;
  }

  body(piece: Bytes): string {
    if (this.#options.isExtended) return escapeText(this.#decoder.write(toBuffer(piece)));
    const text = this.#held + toBuffer(piece).toString("latin1");
    this.#held = /\r?\n$|\r$/.exec(text)?.[0] ?? "";
    return text.slice(0, text.length - this.#held.length);
  }

  end(): string {
    if (this.#options.isExtended) return `${escapeText(this.#decoder.end())}"});\n`;
    // Only a line break is dropped: a carriage return alone belongs to the body.
    return `${this.#held === "\r" ? "\r" : ""});\n`;
  }
}

function escapeText(text: string): string {
  return fromUtf8(JSON.stringify(text).slice(1, -1));
}
