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
  /** The ZeroMQ address is that of SUB sockets, not of a PULL socket. */
  readonly isPub: boolean;
  /** Value of the Authorization header; empty: none. */
  readonly authorization: string;
}

export type ParsedPublish =
  | { readonly kind: "run"; readonly arguments: PublishArguments }
  | { readonly kind: "exit"; readonly code: number; readonly text: string };

export const DEFAULT_SPEC = "http://localhost:5561";

const USAGE = "pushpin-publish [options] <channel> [content]";
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Reads a command line; `gripUrl` is what the environment says. */
export function parsePublishArguments(
  argv: readonly string[],
  version: string,
  gripUrl: string | undefined,
): ParsedPublish {
  let failure: string | undefined;
  const parser = yargs(detachShortValues(argv))
    .parserConfiguration({
      "camel-case-expansion": false,
      "parse-positional-numbers": false,
      "boolean-negation": false,
      "dot-notation": false,
      "duplicate-arguments-array": true,
    })
    .version(false)
    .help(false)
    .scriptName("pushpin-publish")
    .usage(
      `${USAGE}\n\nPublishes a message. The content is text, @FILE, or @- for standard input.\n` +
        "GRIP_URL in the environment is the default of --spec.",
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
      describe: 'HTTP response header, "K: V"; may be repeated',
    })
    .option("meta", {
      alias: "M",
      type: "string",
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: 'meta value, "K=V"; may be repeated',
    })
    .option("hint", { type: "boolean", default: false, describe: "send hints, not content" })
    .option("close", { type: "boolean", default: false, describe: "close streams and WebSockets" })
    .option("patch", { type: "boolean", default: false, describe: "content is a JSON patch" })
    .option("no-seq", { type: "boolean", default: false, describe: "do not wait for order" })
    .option("no-eol", { type: "boolean", default: false, describe: "append no line break" })
    .option("lines", {
      type: "boolean",
      default: false,
      describe: "one message for each line of the content, or of standard input",
    })
    .option("spec", {
      type: "string",
      default: gripUrl || DEFAULT_SPEC,
      describe: "GRIP URL, or ZeroMQ address of the PULL socket",
    })
    .option("pub", {
      type: "boolean",
      default: false,
      describe: "the ZeroMQ address is that of SUB sockets",
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
  const misused = (what: string): ParsedPublish =>
    exit(EXIT_USAGE, `Error: ${what}\n\nUsage: ${USAGE}\nFor more information try --help`);
  const failed = (what: string): ParsedPublish => exit(EXIT_FAILED, `Error: ${what}`);

  if (parsed.version) return exit(0, `pushpin-publish ${version}`);
  if (parsed.help) {
    let help = "";
    parser.showHelp((shown) => {
      help = shown;
    });
    return exit(0, help);
  }
  if (failure !== undefined) return misused(failure);
  for (const name of ["id", "prev-id", "sender", "code", "spec", "user", "bearer"] as const)
    if (Array.isArray(parsed[name])) return misused(`--${name} was given more than once`);
  const [channel, content, ...extra] = parsed._.map(String);
  if (channel === undefined) return misused("missing channel");
  if (extra.length > 0) return misused(`unexpected argument: ${extra[0]}`);
  if (parsed.lines && (parsed.id !== "" || parsed["prev-id"] !== ""))
    return misused("--lines makes many items, which cannot share --id or --prev-id");

  const code = parseCode(parsed.code);
  if (typeof code === "string") return failed(code);
  const headers = parsed.header.map((one) => splitAt(one, ":"));
  if (!headers.every((one) => one !== undefined))
    return failed('header must be in the form "name: value"');
  const meta = parsed.meta.map((one) => splitAt(one, "="));
  if (!meta.every((one) => one !== undefined))
    return failed('meta must be in the form "name=value"');
  if (parsed.user !== undefined && parsed.bearer !== undefined)
    return failed("cannot use both --user and --bearer");
  const action = parsed.hint ? "hint" : parsed.close ? "close" : "send";
  if (content === undefined && action === "send" && !parsed.lines)
    return failed("must specify content");
  return {
    kind: "run",
    arguments: {
      channel,
      content,
      id: parsed.id,
      prevId: parsed["prev-id"],
      sender: parsed.sender,
      code,
      headers,
      meta,
      action,
      isPatch: parsed.patch,
      noSeq: parsed["no-seq"],
      noEol: parsed["no-eol"],
      byLine: parsed.lines,
      spec: parsed.spec,
      isPub: parsed.pub,
      authorization: authorizationOf(parsed.user, parsed.bearer),
    },
  };
}

/** `-HName:value` means `-H Name:value`; yargs would look for options called N, a, m and e. */
function detachShortValues(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  const detached = options.flatMap((one) => {
    const [, name, value] = /^(-[HMuB])=?([\s\S]+)$/.exec(one) ?? [];
    return name === undefined || value === undefined ? [one] : [name, value];
  });
  return end < 0 ? detached : [...detached, ...argv.slice(end)];
}

/** A number, or why it is none. */
function parseCode(text: string): number | string {
  if (text === "") return "failed to parse code: cannot parse integer from empty string";
  if (!/^\+?\d+$/.test(text)) return "failed to parse code: invalid digit found in string";
  const code = Number(text);
  return code <= 999 ? code : "code must be an integer between 0 and 999";
}

function splitAt(text: string, separator: string): readonly [string, string] | undefined {
  const at = text.indexOf(separator);
  return at < 0 ? undefined : [text.slice(0, at), text.slice(at + 1).trim()];
}

function authorizationOf(user: string | undefined, bearer: string | undefined): string {
  if (user !== undefined) return `Basic ${Buffer.from(user).toString("base64")}`;
  return bearer === undefined ? "" : `Bearer ${bearer}`;
}
