import { createServer, type Server } from "node:http";
import { Counter, Gauge, Registry } from "prom-client";
import type { StatsRecorder } from "../core/stats-recorder.ts";

/** Where metrics are served: a TCP port, or a unix socket. */
export type MetricsAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** `port`, `addr:port` or `ipc://path`; undefined if it is none of these. */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  if (text.startsWith("ipc://")) return { path: text.slice("ipc://".length) };
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? "0.0.0.0", port: Number(match[3]) };
}

/** Metrics for Prometheus: any request is answered with all of them (handler.md 11.4). */
export class MetricsServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(
    address: MetricsAddress,
    prefix: string,
    recorder: StatsRecorder,
  ): Promise<MetricsServer> {
    const registry = metricsOf(prefix, recorder);
    const server = createServer((request, response) => {
      request.resume();
      void registry.metrics().then((text) => {
        response.writeHead(200, { "Content-Type": "text/plain" });
        response.end(text);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address, resolve);
    });
    return new MetricsServer(server);
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

function metricsOf(prefix: string, recorder: StatsRecorder): Registry {
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
