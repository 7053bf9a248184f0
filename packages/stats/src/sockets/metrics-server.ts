import { rm, stat } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Logger } from "@pushpin/log";
import type { Registry } from "prom-client";
import type { StatsRecorder } from "../core/stats-recorder.ts";

/** Where metrics are served: a TCP port, or a unix socket. */
export type MetricsAddress =
  { readonly host: string; readonly port: number } | { readonly path: string };

/** `port`, `addr:port` or `ipc://path`; undefined if it is none of these. */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  if (text.startsWith("ipc://")) return { path: text.slice("ipc://".length) };
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? "0.0.0.0", port: Number(match[3]) };
}

/** Limit: scrapers connected at once; more are refused. */
export const METRICS_CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/** Metrics for Prometheus: any request is answered with all of them (handler.md 11.4). */
export class MetricsServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(options: {
    readonly address: MetricsAddress;
    readonly prefix: string;
    readonly recorder: StatsRecorder;
    readonly log: Logger;
  }): Promise<MetricsServer> {
    const { address, prefix, recorder, log } = options;
    if (!/^(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?$/.test(prefix))
      throw new Error(`prometheus_prefix: not the beginning of a metric's name: ${prefix}`);
    const registry = await metricsOf(prefix, recorder);
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      request.resume();
      registry.metrics().then(
        (text) => answer(response, 200, text),
        (error: unknown) => {
          log.warn("no metrics", { error });
          answer(response, 500, "No metrics.\n");
        },
      );
    });
    server.maxConnections = METRICS_CONNECTIONS_MAX; // Limit: METRICS_CONNECTIONS_MAX
    if ("path" in address) await removeAbandoned(address.path);
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) =>
        reject(new Error(`unable to listen for metrics: ${error.message}`)),
      );
      server.listen(address, resolve);
    });
    server.on("error", (error) => log.warn("metrics port", { error }));
    return new MetricsServer(server);
  }

  /** 0 on a unix socket. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain", Connection: "close" });
  response.end(text);
}

/** The socket file of a process that was killed would be in the way; one somebody answers stays. */
async function removeAbandoned(path: string): Promise<void> {
  const file = await stat(path).catch(() => undefined);
  if (!file?.isSocket()) return;
  const isAbandoned = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    const done = (result: boolean) => {
      probe.destroy();
      resolve(result);
    };
    probe.once("connect", () => done(false));
    probe.once("error", (error: NodeJS.ErrnoException) => done(error.code === "ECONNREFUSED"));
  });
  if (isAbandoned) await rm(path, { force: true });
}

/** Most installations have no metrics: what makes them is loaded where they are wanted. */
async function metricsOf(prefix: string, recorder: StatsRecorder): Promise<Registry> {
  const { Counter, Gauge, Registry } = await import("prom-client");
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, total: () => number) =>
    new Counter({
      name: prefix + name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(total());
      },
    });
  const { totals } = recorder;
  counter("request_received", "Number of requests received", () => totals.requestsReceived);
  new Gauge({
    name: `${prefix}connection_connected`,
    help: "Number of concurrent connections",
    registers,
    collect() {
      this.set(recorder.connectionsNow);
    },
  });
  counter(
    "connection_minute",
    "Number of minutes clients have been connected",
    () => totals.minutes,
  );
  counter(
    "message_received",
    "Number of messages received by the publish API",
    () => totals.messagesReceived,
  );
  counter("message_sent", "Number of messages sent to clients", () => totals.messagesSent);
  return registry;
}
