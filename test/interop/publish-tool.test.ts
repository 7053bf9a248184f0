import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { type Backend, HttpStream, Installation, makeTestDirectory, ROOT, until } from "@pushpin/testkit";
import { decode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { leavesOutPeers } from "./mix.ts";

const isLeftOut = leavesOutPeers();
const ORIGINAL = ["/usr/bin/pushpin-publish"];
const OURS = [process.execPath, join(ROOT, "packages/publish/bin/pushpin-publish.js")];

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  command: readonly string[],
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const [file = "", ...before] = command;
  const child = spawn(file, [...before, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** A request without what only says how the connection is used: ours keeps it for the next message. */
function asMeant(request: string): string {
  const [head = "", body = ""] = request.split("\r\n\r\n", 2);
  const [line = "", ...headers] = head.split("\r\n");
  const kept = headers.map((one) => one.toLowerCase()).filter((one) => !one.startsWith("connection:"));
  return [line.replace(/ HTTP\/1\.[01]$/, ""), ...kept.sort(), "", body].join("\n");
}

/** Takes requests, and gives each the same answer. */
class Capture {
  requests: string[] = [];
  answer = "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n";
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Capture> {
    const server = createServer();
    const capture = new Capture(server);
    server.on("connection", (socket) => {
      let text = "";
      socket.on("error", () => {});
      socket.setEncoding("latin1").on("data", (more: string) => {
        text += more;
        const [head = "", body] = text.split("\r\n\r\n", 2);
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (body === undefined || body.length < length) return;
        capture.requests.push(asMeant(text));
        socket.end(capture.answer, "latin1");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return capture;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
  }
}

let directory: string;
beforeAll(() => {
  directory = makeTestDirectory();
  writeFileSync(join(directory, "text"), "line one\nline two");
  writeFileSync(join(directory, "binary"), Buffer.from([0xff, 0, 0x62, 0x69, 0x6e]));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(isLeftOut)("given the original's pushpin-publish and ours", () => {
  let capture: Capture;
  beforeAll(async () => {
    capture = await Capture.start();
  });
  beforeEach(() => {
    capture.requests = [];
    capture.answer = "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n";
  });
  afterAll(() => capture?.stop());

  const both = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const results = [];
    for (const command of [ORIGINAL, OURS]) {
      const outcome = await run(command, args.map((one) => one.replace("{dir}", directory)), env);
      results.push({ ...outcome, requests: capture.requests.splice(0) });
    }
    return results;
  };

  test.each([
    [["ch", "hello"]],
    [["ch", ""]],
    [["ch", "héllo ✓ \u0001 \"quoted\" \\ /"]],
    [["--id=1", "--prev-id=0", "--sender=s", "ch", "x"]],
    [["--id", "1", "--prev-id", "0", "--sender", "s", "ch", "x"]],
    [["--id=", "--prev-id=", "--sender=", "ch", "x"]],
    [["--code=201", "ch", "x"]],
    [["--code", "0", "ch", "x"]],
    [["--code", "999", "ch", "x"]],
    [["ch", "x", "-H", "X-A: b", "--header", "Y:z"]],
    [["ch", "x", "-H", "X: a: b "]],
    [["ch", "x", "-M", "k=v", "--meta", "a=b=c "]],
    [["--sender=s", "ch", "x", "-M", "sender=t"]],
    [["--hint", "ch"]],
    [["--close", "ch"]],
    [["--close", "--hint", "ch", "ignored"]],
    [["--patch", "ch", '[{"op":"add","path":"/a","value":{"z":1,"a":[1.5,true,null]}}]']],
    [["--no-seq", "ch", "x"]],
    [["--no-eol", "ch", "x"]],
    [["ch", "@{dir}/text"]],
    [["ch", "@{dir}/binary"]],
    [["--no-eol", "ch", "@{dir}/text"]],
    [["ch", "--", "-x"]],
  ])("when both are called with %j, then they send the same", async (args) => {
    const [original, ours] = await both([`--spec=${capture.url}`, ...args]);
    expect(original).toMatchObject({ code: 0, stdout: "Published\n" });
    expect(original?.requests).toHaveLength(1);
    expect(ours).toEqual(original);
  });

  test.each(["", "/", "/base", "/base/", "/base?x=1"])(
    "when GRIP_URL ends in %j, then both ask for the same path",
    async (path) => {
      const [original, ours] = await both(["ch", "x"], { GRIP_URL: capture.url + path });
      expect(original?.requests).toHaveLength(1);
      expect(ours).toEqual(original);
    },
  );

  test.each([
    [["ch"]],
    [["--code=1000", "ch", "x"]],
    [["--code=x", "ch", "x"]],
    [["--code=-1", "ch", "x"]],
    [["ch", "x", "-H", "none"]],
    [["ch", "x", "-M", "none"]],
    [["--patch", "ch", "{}"]],
    [["ch", "@{dir}/none"]],
    [["-u", "a:b", "ch", "x"]],
    // Ours has words of its own for a patch that is no JSON, and for a directory.
  ])("when both are called with %j, then they refuse in the same words", async (args) => {
    const [original, ours] = await both([`--spec=${capture.url}`, ...args]);
    expect(original?.requests).toEqual([]);
    expect(original?.code).toBe(1);
    expect(ours).toEqual(original);
  });

  test.each([
    "HTTP/1.0 400 Bad Request\r\n\r\nbad thing\n",
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad",
    "HTTP/1.1 202 Accepted\r\n\r\n",
    "HTTP/1.1 500 Internal Server Error\r\n\r\n two \n lines \n",
    "",
  ])("when the server answers %j, then both say the same", async (answer) => {
    capture.answer = answer;
    const [original, ours] = await both([`--spec=${capture.url}`, "ch", "x"]);
    expect(original?.code).toBe(1);
    expect(ours).toEqual(original);
  });

  test.each([["http://127.0.0.1:1"], ["http://a:b@127.0.0.1"]])(
    "when the address is %s, then both say the same",
    async (spec) => {
      const [original, ours] = await both([`--spec=${spec}`, "ch", "x"]);
      expect(original?.code).toBe(1);
      expect(ours).toEqual(original);
    },
  );

  test("when both use ZeroMQ, then the same items arrive", async () => {
    const frames: Buffer[] = [];
    const spec = `ipc://${join(directory, "pull")}`;
    const socket = await ZmqSocket.open({
      type: "pull",
      specs: [spec],
      mode: "bind",
      log: silentLog,
      onMessage: ([frame]) => {
        if (frame !== undefined) frames.push(frame);
      },
    });
    // Bytes that are no text are the exception: ours makes them a binary message for WebSockets.
    const calls = [["ch", "hello"], ["--id=1", "ch", `@${directory}/text`, "-H", "a:b"], ["--close", "ch"]];
    for (const args of calls)
      for (const command of [ORIGINAL, OURS])
        expect(await run(command, [`--spec=${spec}`, ...args])).toEqual({
          code: 0,
          stdout: "Published\n",
          stderr: "",
        });
    await until("all items", () => frames.length === 2 * calls.length);
    await socket.close();
    const items = frames.map((one) => decode(one));
    for (let i = 0; i < items.length; i += 2) {
      expect(items[i]).toMatchObject({ ok: true });
      expect(items[i + 1]).toEqual(items[i]); // in any order of their members
    }
  });
});

describe.skipIf(isLeftOut)("given the original's pushpin-publish and our processes", () => {
  let backend: Backend;
  let installation: Installation;
  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({ routes: [`* ${backend.address},over_http`] });
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  test("when it publishes over HTTP and ZeroMQ and closes, then a stream sees each", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=theirs`);
    await stream.received("[open]\n");
    for (const spec of [installation.controlUrl, `tcp://127.0.0.1:${installation.pushPort}`]) {
      const done = await run(ORIGINAL, [`--spec=${spec}`, "theirs", `by ${spec.slice(0, 3)}`]);
      expect(done).toEqual({ code: 0, stdout: "Published\n", stderr: "" });
      await stream.received(`by ${spec.slice(0, 3)}\n`);
    }
    expect((await run(ORIGINAL, [`--spec=${installation.controlUrl}`, "--close", "theirs"])).code).toBe(0);
    await until("the end of the stream", () => stream.end);
    stream.close();
  });
});
