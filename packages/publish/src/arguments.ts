import yargs from "yargs";

/** What the command line asks for. */
export interface PublishArguments {
  readonly channel: string;
  readonly content: string | undefined;
  readonly id: string;
  readonly prevId: string;
  readonly sender: string;
  readonly code: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly meta: readonly (readonly [string, string])[];
  readonly action: "send" | "hint" | "close";
  readonly isPatch: boolean;
  readonly noSeq: boolean;
  readonly noEol: boolean;
  /** One message for each line of the content. */
  readonly byLine: boolean;
  readonly spec: string;
  /** Value of the Authorization header; empty: none. */
  readonly authorization: string;
}

export type ParsedPublish =
  | { readonly kind: "run"; readonly arguments: PublishArguments }
  | { readonly kind: "exit"; readonly code: number; readonly text: string };

export const DEFAULT_SPEC = "http://localhost:5561";

/** Reads a command line; `gripUrl` is what the environment says. */
export function parsePublishArguments(
  argv: readonly string[],
  version: string,
  gripUrl: string | undefined,
): ParsedPublish {
  let failure: string | undefined;
  const parser = yargs([...argv])
    .parserConfiguration({
      "camel-case-expansion": false,
      "parse-positional-numbers": false,
      "boolean-negation": false,
    })
    .version(false)
    .help(false)
    .scriptName("pushpin-publish")
    .usage(
      "$0 [options] <channel> [content]\n\nPublishes a message. The content is text, @FILE, or - for standard input.",
    )
    .option("id", { type: "string", default: "", describe: "id of the item" })
    .option("prev-id", { type: "string", default: "", describe: "id of the item before it" })
    .option("sender", { type: "string", default: "", describe: "meta value sender" })
    .option("code", { type: "string", default: "200", describe: "HTTP response code" })
    .option("header", {
      alias: "H",
      type: "string",
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: 'HTTP response header, "K: V"',
    })
    .option("meta", {
      alias: "M",
      type: "string",
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: 'meta value, "K=V"',
    })
    .option("hint", { type: "boolean", default: false, describe: "send hints, not content" })
    .option("close", { type: "boolean", default: false, describe: "close streams and WebSockets" })
    .option("patch", { type: "boolean", default: false, describe: "content is a JSON patch" })
    .option("no-seq", { type: "boolean", default: false, describe: "do not wait for order" })
    .option("no-eol", { type: "boolean", default: false, describe: "append no line break" })
    .option("lines", { type: "boolean", default: false, describe: "one message for each line" })
    .option("spec", {
      type: "string",
      default: gripUrl || DEFAULT_SPEC,
      describe: "GRIP URL, or ZeroMQ address of the PULL socket",
    })
    .option("user", { alias: "u", type: "string", describe: "basic authentication, user:pass" })
    .option("bearer", { alias: "B", type: "string", describe: "bearer token" })
    .option("help", { alias: "h", type: "boolean", default: false, describe: "show this help" })
    .option("version", { alias: "V", type: "boolean", default: false, describe: "show the version" })
    .strictOptions()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      failure ??= message ?? error?.message ?? "bad arguments";
    });
  const parsed = parser.parseSync();
  const exit = (code: number, text: string): ParsedPublish => ({ kind: "exit", code, text });
  if (parsed.version) return exit(0, `pushpin-publish ${version}`);
  const help = () => {
    let text = "";
    parser.showHelp((shown) => {
      text = shown;
    });
    return text;
  };
  if (parsed.help) return exit(0, help());
  if (failure !== undefined) return exit(2, `Error: ${failure}\n\n${help()}`);
  const [channel, content, ...extra] = parsed._.map(String);
  if (channel === undefined || extra.length > 0) {
    const what = channel === undefined ? "missing channel" : `unexpected argument: ${extra[0]}`;
    return exit(2, `Error: ${what}\n\n${help()}`);
  }
  if (!/^\d+$/.test(parsed.code))
    return exit(1, "Error: failed to parse code: invalid digit found in string");
  const code = Number(parsed.code);
  if (code > 999) return exit(1, "Error: code must be an integer between 0 and 999");
  const headers = parsed.header.map((one) => splitAt(one, ":"));
  if (headers.includes(undefined))
    return exit(1, 'Error: header must be in the form "name: value"');
  const meta = parsed.meta.map((one) => splitAt(one, "="));
  if (meta.includes(undefined)) return exit(1, 'Error: meta must be in the form "name=value"');
  if (parsed.user !== undefined && parsed.bearer !== undefined)
    return exit(1, "Error: cannot use both --user and --bearer");
  const action = parsed.hint ? "hint" : parsed.close ? "close" : "send";
  if (content === undefined && action === "send") return exit(1, "Error: must specify content");
  let authorization = "";
  if (parsed.user !== undefined)
    authorization = `Basic ${Buffer.from(parsed.user).toString("base64")}`;
  if (parsed.bearer !== undefined) authorization = `Bearer ${parsed.bearer}`;
  return {
    kind: "run",
    arguments: {
      channel,
      content,
      id: parsed.id,
      prevId: parsed["prev-id"],
      sender: parsed.sender,
      code,
      headers: headers as [string, string][],
      meta: meta as [string, string][],
      action,
      isPatch: parsed.patch,
      noSeq: parsed["no-seq"],
      noEol: parsed["no-eol"],
      byLine: parsed.lines,
      spec: parsed.spec,
      authorization,
    },
  };
}

function splitAt(text: string, separator: string): [string, string] | undefined {
  const at = text.indexOf(separator);
  return at < 0 ? undefined : [text.slice(0, at), text.slice(at + 1).trim()];
}
