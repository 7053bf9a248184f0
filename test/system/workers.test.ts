import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Backend, freePorts, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { decode, encode, type Tnet, type TnetInput } from "@pushpin/tnetstrings";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Dealer, Subscriber } from "zeromq";
import { startGripBackend } from "../grip-backend.ts";
import { mainJobRoutes, testMainJob } from "../main-job.ts";

describe("given two workers of each role", () => {
  let backend: Backend;
  let installation: Installation;
  let command: Dealer;
  let metricsPort: number;

  beforeAll(async () => {
    backend = await startGripBackend();
    [metricsPort = 0] = await freePorts(1);
    installation = await Installation.start({
      routes: [
        `sockjs.test,sockjs=/sock,sockjs_as_path=/plain ${backend.address}`,
        ...mainJobRoutes(backend.address),
      ],
      config: {
        runner: { workers: 2 },
        handler: { prometheus_port: metricsPort },
        proxy: { stats_report_interval: 1 },
      },
    });
    command = new Dealer({ linger: 0, receiveTimeout: 10_000 });
    command.connect(`tcp://127.0.0.1:${installation.commandPort}`);
  });
  afterAll(async () => {
    command?.close();
    await installation?.stop();
    await backend?.stop();
  });

  const ask = async (method: string, args: TnetInput): Promise<Map<string, Tnet>> => {
    await command.send(["", encode({ id: "1", method, args })]);
    const frames = await command.receive();
    const answer = decode(frames[frames.length - 1] as Buffer);
    if (!answer.ok || !(answer.value instanceof Map)) throw new Error("no answer");
    return answer.value;
  };
  const pidOf = (name: string): number => {
    const run = join(installation.directory, "run");
    const file = readdirSync(run).find((one) => one.endsWith(".pid") && one.includes(name));
    return Number(readFileSync(join(run, file as string), "utf8"));
  };

  testMainJob(() => installation);

  test("when SockJS sessions poll and send on connections of their own, then each is one session", async () => {
    const headers = { Host: "sockjs.test" };
    await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const base = `${installation.url}/sock/000/session-${i}`;
        const post = (name: string, body = "") =>
          HttpStream.whole(`${base}/${name}`, { method: "POST", headers, body });
        expect((await post("xhr")).text).toBe("o\n");
        for (let n = 0; n < 3; n += 1) {
          const poll = post("xhr");
          expect((await post("xhr_send", JSON.stringify([`${i}-${n}`]))).status).toBe(200);
          expect((await poll).text).toBe(`a["${i}-${n}"]\n`);
        }
        // A poll that waits, and another one beside it, wherever they come in.
        const one = post("xhr");
        const other = post("xhr");
        expect((await Promise.race([one, other])).text).toMatch(/^c\[2010,/);
        await post("xhr_send", '["end"]');
        expect((await Promise.all([one, other])).map(({ text }) => text)).toContain('a["end"]\n');
      }),
    );
  });

  test("when connections are asked about, then each is found, whichever worker has it", async () => {
    const stats = new Subscriber();
    stats.connect(`ipc://${installation.directory}/run/p-stats`);
    stats.subscribe("conn ");
    const ids = new Set<string>();
    void (async () => {
      for await (const [frame] of stats) {
        const text = (frame as Buffer).subarray("conn T".length);
        const decoded = decode(text);
        const id = decoded.ok && decoded.value instanceof Map ? decoded.value.get("id") : undefined;
        if (typeof id === "string") ids.add(id);
      }
    })().catch(() => {});
    const url = `${installation.url.replace("http:", "ws:")}/grip?channel=found`;
    const open: SocketClient[] = [];
    // Until the statistics name enough of them: their subscription needs a moment.
    await until("connections to be announced", async () => {
      if (ids.size >= 6) return true;
      open.push(await SocketClient.open(url));
      return undefined;
    });
    const answer = await ask("conncheck", { ids: [...ids, "nobody"] });
    expect(answer.get("value")).toEqual(expect.arrayContaining([...ids]));
    expect(answer.get("value")).not.toContain("nobody");
    for (const cid of ids) expect((await ask("refresh", { cid })).get("success")).toBe(true);
    expect((await ask("refresh", { cid: "nobody" })).get("success")).toBe(false);
    stats.close();
    for (const one of open) one.socket.terminate();
  });

  test("when requests are made, then the statistics count those of all workers", async () => {
    const count = async () => {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return Number(/^request_received (\d+)$/m.exec(text)?.[1]);
    };
    const before = await count();
    for (let i = 0; i < 20; i += 1) await HttpStream.whole(`${installation.url}/echo`);
    // The requests of other tests may be counted late.
    await until("twenty more requests", async () => (await count()) >= before + 20 || undefined);
  });

  test("when many clients of both connection managers listen, then every one gets every item once", async () => {
    const streams = await Promise.all(
      Array.from({ length: 40 }, () =>
        HttpStream.open(`${installation.url}/stream?channel=many`),
      ),
    );
    await Promise.all(streams.map((one) => one.received("[open]")));
    for (let i = 0; i < 20; i += 1)
      await installation.publish({ channel: "many", formats: { "http-stream": { content: `${i};` } } });
    await installation.publish({ channel: "many", formats: { "http-stream": { action: "close" } } });
    for (const one of streams) {
      expect(await one.finished()).toBe("complete");
      expect(one.text).toBe(`[open]\n${Array.from({ length: 20 }, (_, i) => `${i};`).join("")}`);
    }
  });

  test("when one worker of the proxy is killed, then requests are answered, and it comes back", async () => {
    const pid = pidOf("proxy-1");
    process.kill(pid, "SIGKILL");
    await until("another worker", () => {
      try {
        return pidOf("proxy-1") !== pid && pidOf("proxy-1") > 0;
      } catch {
        return undefined;
      }
    });
    for (let i = 0; i < 20; i += 1)
      await until("an answer", async () =>
        (await HttpStream.whole(`${installation.url}/echo`).catch(() => undefined))?.status === 200
          ? true
          : undefined,
      );
  });
});
