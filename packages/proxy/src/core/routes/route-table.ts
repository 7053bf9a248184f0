import { fail, ok, type Result } from "@pushpin/tnetstrings";
import { HostRules } from "./host-rules.ts";
import { type LineSection, parseRouteLine } from "./route-line.ts";

export interface Target {
  /** As shown in logs and debug texts. */
  readonly label: string;
  readonly kind: "backend" | "test" | "zhttp" | "zhttpreq";
  /** ZeroMQ base address of a `zhttp` or `zhttpreq` target; otherwise empty. */
  readonly spec: string;
  readonly host: string;
  readonly port: number;
  readonly ssl: boolean;
  readonly trusted: boolean;
  readonly insecure: boolean;
  readonly trustConnectHost: boolean;
  /** Overrides host and Host header. */
  readonly asHost: string;
  readonly subscriptions: readonly string[];
  readonly overHttp: boolean;
  readonly oneEvent: boolean;
  /** PEM text for mutual TLS; empty: none. */
  readonly clientCert: string;
  readonly clientKey: string;
  readonly ipcFileMode: number | undefined;
}

/** How a route turns GET requests into JSON-P (proxy.md 4.2). */
export interface JsonpSettings {
  readonly isExtended: boolean;
  readonly callbackParameter: string;
  readonly bodyParameter: string;
  readonly defaultCallback: string;
  readonly defaultMethod: string;
}

export interface Route {
  /** Where it stands in the routes file; 0: it does not. */
  readonly line: number;
  readonly id: string;
  readonly hasExplicitId: boolean;
  readonly domain: string;
  readonly proto: "http" | "ws" | undefined;
  readonly ssl: boolean | undefined;
  readonly pathBegin: string;
  readonly sigIssuer: string | undefined;
  readonly sigKey: string | undefined;
  readonly prefix: string;
  readonly origHeaders: boolean;
  readonly asHost: string;
  readonly pathRemove: number;
  readonly replaceBegin: string | undefined;
  readonly debug: boolean;
  readonly autoCrossOrigin: boolean;
  readonly jsonp: JsonpSettings;
  readonly session: boolean;
  /** Path prefix of SockJS endpoints; empty: none. */
  readonly sockJsPath: string;
  readonly sockJsAsPath: string;
  readonly logLevel: number | undefined;
  /** Flat; an empty value removes the header. */
  readonly headers: readonly string[];
  readonly noGrip: boolean;
  /** A WebSocket's backend is connected again when the process that held its connection is gone. */
  readonly reconnect: boolean;
  readonly targets: readonly Target[];
}

export interface RouteProblem {
  readonly line: number;
  readonly text: string;
}

/** Reads a file that a target names; answers its text, or why not. */
export type ReadPem = (path: string) => Result<string>;

const noFiles: ReadPem = (path) => fail(`failed to open ${path}: not available`);

/** All routes of a file, found by host or id (proxy.md 2.6). */
export class RouteTable {
  readonly #domains = new Map<string, HostRules>();
  readonly #ids = new Map<string, Route | "shared">();
  size = 0;

  /** Reads lines; bad ones are reported and left out. */
  static parse(
    lines: readonly string[],
    onProblem: (problem: RouteProblem) => void,
    lineNumber: (index: number) => number = (i) => i + 1,
    readPem: ReadPem = noFiles,
  ): RouteTable {
    const table = new RouteTable();
    for (const [i, line] of lines.entries()) {
      const sections = parseRouteLine(line.replace(/\r$/, ""));
      const route = sections.ok
        ? sections.value.length === 0
          ? undefined
          : parseRoute(sections.value, lineNumber(i), readPem)
        : sections;
      if (route === undefined) continue;
      if (!route.ok) onProblem({ line: lineNumber(i), text: `: ${route.error}` });
      else if (!table.#add(route.value))
        onProblem({ line: lineNumber(i), text: " skipping duplicate condition" });
    }
    return table;
  }

  #add(route: Route): boolean {
    if (route.domain !== "") {
      const known = this.#domains.get(route.domain);
      const rules = known ?? new HostRules();
      if (!rules.add(route)) return false;
      if (known === undefined) this.#domains.set(route.domain, rules);
    }
    this.#ids.set(route.id, this.#ids.has(route.id) ? "shared" : route);
    this.size += 1;
    return true;
  }

  /** Every rule that competes for a request, with the reason why it does not apply, if it does not. */
  candidates(
    proto: "http" | "ws",
    secure: boolean,
    host: string,
    path: string,
  ): { readonly route: Route; readonly mismatch: string | undefined }[] {
    const rules = this.#domains.get(host) ?? this.#domains.get("*");
    return (rules?.all ?? []).map((route) => {
      let mismatch: string | undefined;
      if (route.proto !== undefined && route.proto !== proto)
        mismatch = `it is for proto=${route.proto} only`;
      else if (route.ssl !== undefined && route.ssl !== secure)
        mismatch = `it is for ssl=${route.ssl ? "yes" : "no"} only`;
      else if (route.pathBegin !== "" && !path.startsWith(route.pathBegin))
        mismatch = `the path does not begin with ${route.pathBegin}`;
      return { route, mismatch };
    });
  }

  /** The route for a request; the order of the file decides as in the original. */
  find(proto: "http" | "ws", secure: boolean, host: string, path: string): Route | undefined {
    return (this.#domains.get(host) ?? this.#domains.get("*"))?.find(proto, secure, path);
  }

  byId(id: string): Route | "shared" | undefined {
    return this.#ids.get(id);
  }

  /** Every route that can be reached. */
  *all(): IterableIterator<Route> {
    for (const rules of this.#domains.values()) yield* rules.all;
    for (const route of this.#ids.values())
      if (route !== "shared" && route.domain === "") yield route;
  }
}

function parseRoute(
  sections: readonly LineSection[],
  line: number,
  readPem: ReadPem,
): Result<Route> {
  const [condition, ...rest] = sections;
  if (condition === undefined || rest.length === 0)
    return fail("must specify condition and at least one target");
  const { props } = condition;
  const last = (name: string) => props.get(name)?.at(-1);
  const proto = last("proto");
  if (proto !== undefined && proto !== "http" && proto !== "ws")
    return fail("proto must be set to 'http' or 'ws'");
  const ssl = last("ssl");
  if (ssl !== undefined && ssl !== "yes" && ssl !== "no")
    return fail("ssl must be set to 'yes' or 'no'");
  const pathBegin = last("path_beg");
  if (pathBegin === "") return fail("path_beg cannot be empty");
  const jsonpMode = last("jsonp_mode");
  if (jsonpMode !== undefined && jsonpMode !== "basic" && jsonpMode !== "extended")
    return fail("jsonp_mode must be set to 'basic' or 'extended'");
  const headers: string[] = [];
  for (const header of props.get("header") ?? []) {
    const colon = header.indexOf(":");
    if (colon <= 0) return fail("header must use format 'name:value'");
    headers.push(header.slice(0, colon), header.slice(colon + 1).trimStart());
  }
  const targets: Target[] = [];
  for (const one of rest) {
    const target = parseTarget(one, readPem);
    if (!target.ok) return target;
    targets.push(target.value);
  }
  const domain = condition.value.toLowerCase();
  const explicit = last("id");
  const replaceBegin = last("replace_beg");
  // Compat 1.36: derived ids swap the ssl words; they are opaque, so the strings stay.
  const sslWord = ssl === undefined ? "*" : ssl === "no" ? "ssl" : "no-ssl";
  return ok({
    line,
    id:
      explicit || `${domain === "" ? "*" : domain},${proto ?? "*"},${sslWord},${pathBegin ?? "*"}`,
    hasExplicitId: explicit !== undefined && explicit !== "",
    domain,
    proto,
    ssl: ssl === undefined ? undefined : ssl === "yes",
    pathBegin: pathBegin ?? "",
    sigIssuer: last("sig_iss"),
    sigKey: last("sig_key"),
    prefix: last("prefix") ?? "",
    origHeaders: props.has("orig_headers"),
    asHost: last("as_host") ?? "",
    pathRemove:
      replaceBegin === undefined
        ? Number.parseInt(last("path_rem") ?? "0", 10) || 0
        : (pathBegin ?? "").length,
    replaceBegin,
    debug: props.has("debug"),
    autoCrossOrigin: props.has("aco"),
    jsonp: {
      isExtended: jsonpMode !== "basic",
      callbackParameter: last("jsonp_cb") || "callback",
      bodyParameter: last("jsonp_body") ?? "",
      defaultCallback: last("jsonp_defcb") ?? "",
      defaultMethod: last("jsonp_defmethod") || (jsonpMode === "basic" ? "POST" : "GET"),
    },
    session: props.has("session"),
    sockJsPath: last("sockjs") ?? "",
    sockJsAsPath: last("sockjs_as_path") ?? "",
    logLevel: logLevelOf(last("log_level")),
    headers,
    noGrip: props.has("no_grip"),
    reconnect: props.has("reconnect"),
    targets,
  });
}

/** A route to wherever the URI says, signed by the keys of `base` (requests of the handler). */
export function adHocRoute(uri: string, base: Route | undefined, isTrusted: boolean): Route {
  const isTls = uri.startsWith("https:") || uri.startsWith("wss:");
  const authority = /^[a-z]+:\/\/([^/?]*)/.exec(uri)?.[1] ?? "";
  const parsed = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(authority);
  const host = parsed?.[1] ?? parsed?.[2] ?? "";
  const port = parsed?.[3] === undefined ? (isTls ? 443 : 80) : Number(parsed[3]);
  const label = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const target: Target = { ...PLAIN_TARGET, label, host, port, ssl: isTls, trusted: isTrusted };
  return {
    ...PLAIN_ROUTE,
    id: base?.id ?? "",
    sigIssuer: base?.sigIssuer,
    sigKey: base?.sigKey,
    targets: [target],
  };
}

const PLAIN_TARGET: Omit<Target, "label"> = {
  kind: "backend",
  spec: "",
  host: "",
  port: 0,
  ssl: false,
  trusted: false,
  insecure: false,
  trustConnectHost: false,
  asHost: "",
  subscriptions: [],
  overHttp: false,
  oneEvent: false,
  clientCert: "",
  clientKey: "",
  ipcFileMode: undefined,
};

const PLAIN_ROUTE: Route = {
  line: 0,
  id: "",
  hasExplicitId: false,
  domain: "",
  proto: undefined,
  ssl: undefined,
  pathBegin: "",
  sigIssuer: undefined,
  sigKey: undefined,
  prefix: "",
  origHeaders: false,
  asHost: "",
  pathRemove: 0,
  replaceBegin: undefined,
  debug: false,
  autoCrossOrigin: false,
  jsonp: {
    isExtended: true,
    callbackParameter: "callback",
    bodyParameter: "",
    defaultCallback: "",
    defaultMethod: "GET",
  },
  session: false,
  sockJsPath: "",
  sockJsAsPath: "",
  logLevel: undefined,
  headers: [],
  noGrip: false,
  reconnect: false,
  targets: [],
};

function logLevelOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-4]$/.test(text) ? Number(text) : undefined;
}

function parseTarget(section: LineSection, readPem: ReadPem): Result<Target> {
  const { value, props } = section;
  const pem = (name: string): Result<string> => {
    const path = props.get(name)?.at(-1) ?? "";
    return path === "" ? ok("") : readPem(path);
  };
  const clientCert = pem("client_cert");
  if (!clientCert.ok) return clientCert;
  const clientKey = pem("client_key");
  if (!clientKey.ok) return clientKey;
  const mode = props.get("ipc_file_mode")?.at(-1) ?? "";
  // With all of its keys: V8 gives each object that is copied and gets another key a hidden class of its own.
  const base: Target = {
    label: value,
    kind: "backend",
    ssl: props.has("ssl"),
    trusted: !props.has("untrusted"),
    insecure: props.has("insecure"),
    trustConnectHost: props.has("trust_connect_host"),
    asHost: props.get("host")?.at(-1) ?? "",
    subscriptions: (props.get("sub") ?? []).filter((one) => one !== ""),
    overHttp: props.has("over_http"),
    oneEvent: props.has("one_event"),
    clientCert: clientCert.value,
    clientKey: clientKey.value,
    ipcFileMode: /^[0-7]{1,4}$/.test(mode) ? Number.parseInt(mode, 8) : undefined,
    spec: "",
    host: "",
    port: 0,
  };
  if (value === "test") return ok({ ...base, kind: "test" });
  const zmq = /^(zhttp|zhttpreq)\/(.*)$/.exec(value);
  if (zmq !== null) {
    const kind = zmq[1] as "zhttp" | "zhttpreq";
    const spec = zmq[2] as string;
    if (!isZmqBase(spec)) return fail("target bad format");
    return ok({ ...base, kind, spec });
  }
  // The HTTP client takes a host that begins with a slash for the path of a socket.
  if (value.startsWith("unix:/"))
    return ok({ ...base, host: value.slice("unix:".length) });
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]*)):(.*)$/.exec(value);
  if (match === null) return fail("target bad format");
  const port = /^\d{1,5}$/.test(match[3] ?? "") ? Number(match[3]) : 0;
  if (port < 1 || port > 65_535) return fail("target invalid port");
  return ok({ ...base, host: match[1] ?? match[2] ?? "", port });
}

/** `transport://host:port` or `transport://path`; three sockets are made of it. */
function isZmqBase(spec: string): boolean {
  const match = /^(tcp|ipc|inproc):\/\/(.+)$/.exec(spec);
  if (match === null) return false;
  if (match[1] !== "tcp") return true;
  const port = /:(\d{1,5})$/.exec(match[2] as string)?.[1];
  return port !== undefined && Number(port) > 0 && Number(port) <= 65_533;
}
