import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseInstruct } from "@pushpin/grip";
import {
  freePorts,
  HttpStream,
  Installation,
  leavesOut,
  makeTestDirectory,
  ROOT,
  SocketClient,
  TestProcess,
  until,
} from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const page = readFileSync(join(ROOT, "docs/grip-guide.md"), "utf8");

interface Language {
  /** As the page's code blocks are marked. */
  readonly mark: string;
  readonly file: string;
  /** The interpreter, and how it says that it is there. */
  readonly asks: readonly string[];
  command(file: string, port: number): readonly string[];
}

const LANGUAGES: readonly Language[] = [
  {
    mark: "js",
    file: "backend.mjs",
    asks: [process.execPath, "--version"],
    command: (file) => [process.execPath, file],
  },
  {
    mark: "python",
    file: "backend.py",
    asks: ["python3", "--version"],
    command: (file) => ["python3", file],
  },
  {
    mark: "php",
    file: "backend.php",
    asks: ["php", "--version"],
    command: (file, port) => ["php", "-S", `127.0.0.1:${port}`, file],
  },
  {
    mark: "perl",
    file: "backend.pl",
    asks: ["perl", "-MJSON::PP", "-MHTTP::Tiny", "-e", "1"],
    command: (file) => ["perl", file],
  },
];

function codeOf(mark: string): string {
  const [, code = ""] = new RegExp(`\`\`\`${mark}\\n([^]*?)\`\`\``).exec(page) ?? [];
  return code;
}

describe("given the guide for backend authors", () => {
  test("when its instruction in JSON is read, then it is one", () => {
    const [, text = ""] = /```json instruct\n([^]*?)```/.exec(page) ?? [];
    const headers = ["Content-Type", "application/grip-instruct"];
    expect(parseInstruct({ code: 200, reason: "OK", headers, body: text })).toMatchObject({
      ok: true,
      value: { hold: "stream", channels: [{ name: "news", prevId: "4", filters: ["skip-self"] }] },
    });
  });
});

describe.each(LANGUAGES)("given the guide's backend in $mark", (language) => {
  const [program = "", ...args] = language.asks;
  const missing = spawnSync(program, args).status === 0 ? [] : [program];
  const isLeftOut = leavesOut(`the guide's ${language.file}`, missing);
  let directory: string;
  let installation: Installation;
  let backend: TestProcess;
  let port: number;

  beforeAll(async () => {
    if (isLeftOut) return;
    [port = 0] = await freePorts(1);
    directory = makeTestDirectory();
    writeFileSync(join(directory, language.file), codeOf(language.mark));
    installation = await Installation.start({ routes: [`* 127.0.0.1:${port},over_http`] });
    backend = new TestProcess(language.file, language.command(language.file, port), {
      cwd: directory,
      env: { PORT: String(port), GRIP_URL: installation.controlUrl, GRIP_KEY: "changeme" },
    });
    await until("the backend to listen", () => {
      if (backend.exit !== undefined) throw new Error(backend.output);
      return HttpStream.whole(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => undefined,
      );
    });
  }, 60_000);
  afterAll(async () => {
    await backend?.stop();
    await installation?.stop();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  test.skipIf(isLeftOut)("when it is asked without the proxy, then it refuses", async () => {
    const { status } = await HttpStream.whole(`http://127.0.0.1:${port}/stream`);
    expect(status).toBe(403);
    const forged = { "Grip-Sig": `${Buffer.from("{}").toString("base64url")}.e30.AAAA` };
    const other = await HttpStream.whole(`http://127.0.0.1:${port}/stream`, { headers: forged });
    expect(other.status).toBe(403);
  });

  test.skipIf(isLeftOut)(
    "when something is said, then streams, polls and WebSockets have it",
    async () => {
      const stream = await HttpStream.open(`${installation.url}/stream`);
      await stream.received("event: open");
      expect(stream.headers["content-type"]).toMatch(/^text\/event-stream/);
      const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/ws`);
      socket.send("again");
      await socket.received("again");
      const poll = HttpStream.whole(`${installation.url}/poll`);
      let answer: HttpStream | undefined;
      void poll.then((one) => {
        answer = one;
      });
      // The poll may not be held yet when the first is published.
      await until("everybody to have it", async () => {
        const said = await HttpStream.whole(`${installation.url}/say`, {
          method: "POST",
          body: "hello",
        });
        expect([said.status, said.text]).toEqual([200, "said\n"]);
        return (
          stream.text.includes("data: hello\n\n") && socket.messages.includes("hello") && answer
        );
      });
      expect(answer?.text).toBe("hello\n");
      socket.socket.close(1000, "done");
      expect(await socket.end()).toEqual({ code: 1000, reason: "done" });
      stream.close();
    },
  );
});
