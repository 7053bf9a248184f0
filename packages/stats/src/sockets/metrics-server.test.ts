import { fork } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryLog } from "@pushpin/log";
import { afterEach, describe, expect, test } from "vitest";
import { StatsRecorder } from "../core/stats-recorder.ts";
import { type MetricsAddress, MetricsServer, parseMetricsAddress } from "./metrics-server.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function makeRecorder(): StatsRecorder {
  return new StatsRecorder({
    instanceId: "me",
    connectionTtlMs: 120_000,
    sendConnections: true,
    subscriptionTtlMs: 60_000,
    reportIntervalMs: 10_000,
    nowMs: 0,
    isWanted: () => false,
    publish: () => {},
  });
}

async function open(
  address: MetricsAddress = { host: "127.0.0.1", port: 0 },
  prefix = "",
): Promise<{ server: MetricsServer; recorder: StatsRecorder }> {
  const recorder = makeRecorder();
  const server = await MetricsServer.open({ address, prefix, recorder, log: memoryLog() });
  closing.push(() => server.close());
  return { server, recorder };
}

function scrape(to: { port: number } | { socketPath: string }, method = "GET", path = "/metrics") {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>(
    (resolve, reject) => {
      const asked = request(
        { host: "127.0.0.1", ...to, method, path, agent: false },
        (response) => {
          let body = "";
          response.setEncoding("utf8");
          response.on("data", (text: string) => (body += text));
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
          );
        },
      );
      asked.on("error", reject);
      asked.end();
    },
  );
}

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "metrics-"));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe("given a metrics port", () => {
  test("operations C17: when there is a prefix, then every name has it, with help and type", async () => {
    const { server } = await open(undefined, "pp_");
    const { body } = await scrape({ port: server.port });
    expect(body).toContain(
      "# HELP pp_request_received Number of requests received\n" +
        "# TYPE pp_request_received counter\npp_request_received 0\n",
    );
    const names = body.match(/^[a-z_]+ /gm)?.map((one) => one.trim());
    expect(names).toEqual([
      "pp_request_received",
      "pp_connection_connected",
      "pp_connection_minute",
      "pp_message_received",
      "pp_message_sent",
    ]);
    expect(body).toContain("# TYPE pp_connection_connected gauge\n");
  });

  test.each([
    ["GET", "/"],
    ["POST", "/nowhere?x=y"],
    ["DELETE", "/metrics"],
  ])(
    "when %s %s is asked, then the answer is the same and the connection ends",
    async (method, path) => {
      const { server } = await open();
      const { status, headers, body } = await scrape({ port: server.port }, method, path);
      expect([status, headers["content-type"], headers["connection"]]).toEqual([
        200,
        "text/plain",
        "close",
      ]);
      expect(body).toContain("message_sent 0\n");
    },
  );

  test("when things have happened, then the sums are told, each time anew", async () => {
    const { server, recorder } = await open();
    recorder.requestReceived("r");
    recorder.received(-1);
    recorder.sent("r", "http-stream", 3, -1);
    recorder.connectionAdded(
      { id: "a", kind: "ws", route: "r", peerAddress: "", secure: false, unreportedMs: undefined },
      0,
    );
    await scrape({ port: server.port });
    const { body } = await scrape({ port: server.port });
    for (const line of [
      "request_received 1",
      "connection_connected 1",
      "connection_minute 1",
      "message_received 1",
      "message_sent 3",
    ])
      expect(body.split("\n")).toContain(line);
  });

  test("when the prefix cannot begin a name, then the start says so", async () => {
    await expect(open(undefined, "1-")).rejects.toThrow("prometheus_prefix");
  });

  test("when the port is taken, then the start says so", async () => {
    const { server } = await open();
    await expect(open({ host: "127.0.0.1", port: server.port })).rejects.toThrow(
      "unable to listen for metrics",
    );
  });
});

describe("given a metrics socket", () => {
  test("when the one before was killed, then its file is no hindrance", async () => {
    const path = join(await temporary(), "metrics");
    const code = `require("net").createServer().listen(process.argv[2], () => process.send("up"))`;
    const script = join(await temporary(), "listen.cjs");
    await writeFile(script, code);
    const child = fork(script, [path]);
    await new Promise((resolve) => child.once("message", resolve));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await open({ path });
    expect((await scrape({ socketPath: path })).status).toBe(200);
  });

  test("when somebody answers there, then it is left alone", async () => {
    const path = join(await temporary(), "metrics");
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(path, resolve));
    closing.push(() => new Promise((resolve) => other.close(resolve)));
    await expect(open({ path })).rejects.toThrow("unable to listen for metrics");
  });

  test("when there is a file that is no socket, then it is left alone", async () => {
    const path = join(await temporary(), "metrics");
    await writeFile(path, "x");
    await expect(open({ path })).rejects.toThrow("unable to listen for metrics");
  });
});

describe("given an address for metrics", () => {
  test.each([
    ["9000", { host: "0.0.0.0", port: 9000 }],
    ["127.0.0.1:9000", { host: "127.0.0.1", port: 9000 }],
    ["[::1]:9000", { host: "::1", port: 9000 }],
    ["ipc:///run/metrics", { path: "/run/metrics" }],
    ["70000", undefined],
    ["x", undefined],
  ])("when it is %s, then it is %j", (text, address) => {
    expect(parseMetricsAddress(text)).toEqual(address);
  });
});
