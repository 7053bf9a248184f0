import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { silentLog } from "@pushpin/log";
import { decode, encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type PublishArguments, parsePublishArguments } from "./arguments.ts";
import { makeItem, toJson, toTnet } from "./item.ts";
import { LINE_MAX_BYTES, splitLines } from "./line-splitter.ts";

const PROGRAM = new URL("../bin/pushpin-publish.js", import.meta.url).pathname;

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}, input = ""): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { ...process.env, GRIP_URL: "", ...env },
    });
    let out = "";
    let err = "";
    child.stdout.on("data", (data: Buffer) => {
      out += data.toString();
    });
    child.stderr.on("data", (data: Buffer) => {
      err += data.toString();
    });
    child.on("close", (code) => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

function jsonOf(...args: string[]): string {
  const parsed = parsePublishArguments(args, "1", undefined);
  if (parsed.kind === "exit") throw new Error(parsed.text);
  return toJson([itemOf(parsed.arguments)]);
}

function itemOf(given: PublishArguments) {
  const { content } = given;
  const bytes = { bytes: Buffer.from(content ?? ""), isVerbatim: false };
  return makeItem(given, content === undefined ? undefined : bytes);
}

describe("given a command line", () => {
  test("operations P1: when it has a channel and content, then all three formats have it", () => {
    expect(jsonOf("ch", "hello")).toBe(
      '{"items":[{"channel":"ch","formats":{"http-response":{"body":"hello\\n","code":200},"http-stream":{"content":"hello\\n"},"ws-message":{"content":"hello"}}}]}',
    );
  });

  test("when every option is given, then members are in alphabetical order", () => {
    expect(
      jsonOf(
        ...["--id", "1", "--prev-id", "0", "--sender", "s", "--code", "201", "-H", "X-A: b"],
        ...["-H", "Y:z", "-M", "k=v", "-M", "a=b=c", "--no-seq", "ch", "hello"],
      ),
    ).toBe(
      '{"items":[{"channel":"ch","formats":{"http-response":{"body":"hello\\n","code":201,"headers":[["X-A","b"],["Y","z"]]},"http-stream":{"content":"hello\\n"},"ws-message":{"content":"hello"}},"id":"1","meta":{"a":"b=c","k":"v","sender":"s"},"no-seq":true,"prev-id":"0"}]}',
    );
  });

  test("operations P2: when it says hint and close, then hint wins", () => {
    expect(jsonOf("--close", "--hint", "ch")).toBe(
      '{"items":[{"channel":"ch","formats":{"http-response":{"action":"hint"},"http-stream":{"action":"hint"},"ws-message":{"action":"hint"}}}]}',
    );
    expect(jsonOf("--close", "ch")).toBe(
      '{"items":[{"channel":"ch","formats":{"http-stream":{"action":"close"},"ws-message":{"action":"close"}}}]}',
    );
  });

  test("when content is a patch, then it is the only format", () => {
    expect(jsonOf("--patch", "ch", '[{"op":"add"}]')).toBe(
      '{"items":[{"channel":"ch","formats":{"http-response":{"body-patch":[{"op":"add"}],"code":200}}}]}',
    );
  });

  test("when a patch has blanks and order of its own, then its members are sorted", () => {
    expect(jsonOf("--patch", "ch", '[{"value":{"b":null,"a":[1]},"op":"add"}]')).toContain(
      '"body-patch":[{"op":"add","value":{"a":[1],"b":null}}]',
    );
  });

  test("when a value stands right behind its short option, then it is that option's", () => {
    expect(jsonOf("-HX: y", "-M", "a.b=c", "ch", "x")).toContain('"headers":[["X","y"]]');
    expect(jsonOf("-HX: y", "-M", "a.b=c", "ch", "x")).toContain('"meta":{"a.b":"c"}');
  });

  test("when meta has a sender too, then meta wins", () => {
    expect(jsonOf("-M", "sender=meta", "--sender", "option", "ch", "x")).toContain(
      '"meta":{"sender":"meta"}',
    );
  });

  test("when words look like options behind two dashes, then they are content", () => {
    expect(jsonOf("ch", "--", "-Hx")).toContain('"ws-message":{"content":"-Hx"}');
    expect(jsonOf("ch", "-")).toContain('"ws-message":{"content":"-"}');
  });

  test("when it goes by ZeroMQ, then text is UTF-8 bytes and binary content has no base64", () => {
    const parsed = parsePublishArguments(["-M", "k=ü", "ch", "x"], "1", undefined);
    if (parsed.kind === "exit") throw new Error(parsed.text);
    const bytes = Buffer.from([0xff, 0]);
    const sent = encode(toTnet(makeItem(parsed.arguments, { bytes, isVerbatim: true })));
    expect(sent.toString("latin1")).toContain("7:content,2:\xff\x00,");
    expect(sent.toString("latin1")).toContain("1:k,2:\xc3\xbc,");
  });

  test("operations P10: when content is empty or has no line break, then that is kept", () => {
    expect(jsonOf("ch", "")).toContain('"body":"\\n"');
    expect(jsonOf("--no-eol", "ch", "x")).toContain('"body":"x"');
  });

  test.each([
    [["--code", "x", "ch", "a"], 1, "failed to parse code: invalid digit found in string"],
    [["--code", "", "ch", "a"], 1, "failed to parse code: cannot parse integer from empty string"],
    [["--code", "1000", "ch", "a"], 1, "code must be an integer between 0 and 999"],
    [["-H", "novalue", "ch", "a"], 1, 'header must be in the form "name: value"'],
    [["-M", "novalue", "ch", "a"], 1, 'meta must be in the form "name=value"'],
    [["ch"], 1, "must specify content"],
    [[], 2, "missing channel"],
    [["a", "b", "c"], 2, "unexpected argument: c"],
    [["--nonsense", "a", "b"], 2, "nonsense"],
    [["-u", "a:b", "-B", "t", "ch", "x"], 1, "cannot use both"],
    [["--id", "1", "--id", "2", "ch", "x"], 2, "--id was given more than once"],
    [["--lines", "--id", "1", "ch"], 2, "--lines makes many items"],
  ])("operations P3: when it is %j, then it ends with %i and says why", (args, code, text) => {
    const parsed = parsePublishArguments(args, "1", undefined);
    expect(parsed).toMatchObject({ kind: "exit", code });
    expect((parsed as { text: string }).text).toContain(text);
  });
});

describe("given a stream of lines", () => {
  async function linesOf(...pieces: string[]): Promise<string[]> {
    const lines: string[] = [];
    const stream = Readable.from(pieces.map((one) => Buffer.from(one, "latin1")));
    for await (const line of splitLines(stream)) lines.push(line.toString("latin1"));
    return lines;
  }

  test("when it comes in pieces, then lines are whole, and their bytes untouched", async () => {
    expect(await linesOf("one\nt", "w", "o\r", "\n\n\xff\x00\nlast")).toEqual([
      "one",
      "two",
      "",
      "\xff\x00",
      "last",
    ]);
    expect(await linesOf("")).toEqual([]);
    expect(await linesOf("a\n")).toEqual(["a"]);
  });

  test("when a line has no end, then it is refused", async () => {
    const half = "x".repeat(LINE_MAX_BYTES / 2);
    await expect(linesOf(half, half, "x")).rejects.toThrow(/longer than/);
  });
});

describe("given a control port", () => {
  let server: Server;
  let url: string;
  let requests: { url: string; authorization: string | undefined; body: string }[];
  let answer: { status: number; body: string };
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "pp-"));
    server = createServer((request, response) => {
      let body = "";
      request.on("data", (data: Buffer) => {
        body += data.toString();
      });
      request.on("end", () => {
        const { authorization } = request.headers;
        requests.push({ url: request.url ?? "", authorization, body });
        response.statusCode = answer.status;
        response.end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  beforeEach(() => {
    requests = [];
    answer = { status: 200, body: "Published\n" };
  });

  afterAll(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  test("operations P1, P7: when it takes the item, then Published is said", async () => {
    const done = await run(["ch", "hello"], { GRIP_URL: `${url}/base` });
    expect(done).toEqual({ code: 0, out: "Published\n", err: "" });
    expect(requests[0]?.url).toBe("/base/publish/");
    expect(JSON.parse(requests[0]?.body ?? "")).toMatchObject({ items: [{ channel: "ch" }] });
  });

  test("operations P5, P6: when it refuses, then its text is the error", async () => {
    answer = { status: 400, body: "bad thing\n" };
    expect(await run(["--spec", url, "ch", "x"])).toMatchObject({
      code: 1,
      err: "Error: bad thing\n",
    });
    answer = { status: 202, body: "" };
    expect(await run(["--spec", url, "ch", "x"])).toMatchObject({ code: 1, err: "Error: \n" });
  });

  test("operations P4: when a file is not text, then it is sent in base64, unchanged", async () => {
    const file = join(directory, "binary");
    writeFileSync(file, Buffer.from([0xff, 0, 0x62, 0x69, 0x6e]));
    expect((await run(["--spec", url, "ch", `@${file}`])).code).toBe(0);
    expect(requests[0]?.body).toContain('"body-bin":"/wBiaW4="');
    expect((await run(["--spec", url, "ch", "@/nonexistent"])).err).toBe(
      "Error: can't read file /nonexistent: No such file or directory (os error 2)\n",
    );
  });

  test("operations P8: when a password would go in clear text, then it does not", async () => {
    const done = await run(["--spec", url, "-u", "a:b", "ch", "x"]);
    expect(done).toMatchObject({ code: 1, err: "Error: Authentication requires https\n" });
    expect(requests).toEqual([]);
  });

  test("when the URL has a key, then a token goes along and the key does not", async () => {
    const done = await run(["ch", "x"], { GRIP_URL: `${url}/?iss=me&key=secret` });
    expect(done.code).toBe(0);
    expect(requests[0]?.url).toBe("/publish/");
    expect(requests[0]?.authorization).toMatch(/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/);
  });

  test("when lines come on standard input, then each is a message, in order", async () => {
    const done = await run(["--spec", url, "--lines", "ch"], {}, "one\ntwo\nthree\n");
    expect(done).toMatchObject({ code: 0, out: "Published 3 messages\n" });
    expect(requests.map((one) => /"ws-message":\{"content":"(\w+)"/.exec(one.body)?.[1])).toEqual([
      "one",
      "two",
      "three",
    ]);
  });

  test("when a line is refused, then it is named, and none behind it is sent", async () => {
    const file = join(directory, "lines");
    writeFileSync(file, '["a"]\nnope\n["c"]\n');
    const done = await run(["--spec", url, "--lines", "--patch", "ch", `@${file}`]);
    expect(done).toEqual({
      code: 1,
      out: "",
      err: "Error: line 2: patch content must be a JSON array\n",
    });
    expect(requests.length).toBe(1);
  });

  test("when content comes on standard input, then it is one message, unchanged", async () => {
    const done = await run(["--spec", url, "ch", "@-"], {}, "one\ntwo\n");
    expect(done).toEqual({ code: 0, out: "Published\n", err: "" });
    expect(requests[0]?.body).toContain('"ws-message":{"content":"one\\ntwo\\n"}');
  });

  test("when the URL has a path of its own, then it is taken literally", async () => {
    await run(["--spec", `${url}/a%20b/..//c/?x=1`, "ch", "x"]);
    await run(["--spec", `${url}/base?iss=me&x=1&key=k`, "ch", "x"]);
    expect(requests.map((one) => one.url)).toEqual([
      "/a%20b/..//c/?x=1/publish/",
      "/base?x=1/publish/",
    ]);
  });

  test("when nobody listens, then that is said", async () => {
    const done = await run(["--spec", "http://127.0.0.1:1", "ch", "x"]);
    expect(done).toMatchObject({ code: 1, err: "Error: Connection refused (os error 111)\n" });
    expect((await run(["--spec", "http://u:p@h/", "ch", "x"])).err).toBe("Error: invalid URL\n");
  });

  test("operations P9: when the spec is a ZeroMQ address, then it gets the tnetstring alone", async () => {
    const spec = `ipc://${join(directory, "pull")}`;
    let received: Buffer | undefined;
    const pull = await ZmqSocket.open({
      type: "pull",
      specs: [spec],
      mode: "bind",
      log: silentLog,
      onMessage: ([frame]) => {
        received = frame;
      },
    });
    expect(await run(["--spec", spec, "ch", "hi"])).toEqual({
      code: 0,
      out: "Published\n",
      err: "",
    });
    await pull.close();
    const item = decode(received as Buffer);
    expect(item.ok && (item.value as Map<string, unknown>).get("channel")).toBe("ch");
  });

  test("when the address is that of a SUB socket, then the channel stands in front", async () => {
    const spec = `ipc://${join(directory, "sub")}`;
    const received: Buffer[][] = [];
    const subscriber = await ZmqSocket.open({
      type: "sub",
      specs: [spec],
      mode: "bind",
      log: silentLog,
      subscribe: ["ch"],
      onMessage: (frames) => received.push(frames),
    });
    const done = await run(["--spec", spec, "--pub", "--lines", "ch"], {}, "one\ntwo\n");
    expect(done).toEqual({ code: 0, out: "Published 2 messages\n", err: "" });
    await vi.waitUntil(() => received.length === 2);
    await subscriber.close();
    expect(received.map(([topic]) => topic?.toString())).toEqual(["ch", "ch"]);
    const item = decode(received[1]?.[1] as Buffer);
    expect(item.ok && (item.value as Map<string, unknown>).has("formats")).toBe(true);
    expect((await run(["--spec", url, "--pub", "ch", "x"])).err).toContain("needs a ZeroMQ address");
  });
});
