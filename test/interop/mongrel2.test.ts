import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Backend,
  HttpStream,
  Installation,
  leavesOut,
  missingPrograms,
  RawClient,
  SocketClient,
  until,
} from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const isLeftOut = leavesOut("tests of Mongrel2", missingPrograms("mongrel2", "m2sh", "m2adapter"));

describe.skipIf(isLeftOut)("given Mongrel2 and the original's m2adapter in front of our proxy", () => {
  let backend: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({
      routes: [`* ${backend.address}`],
      config: { runner: { services: "mongrel2,m2adapter,httpclient,proxy,handler" } },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  const ask = async (request: string) => {
    const client = await RawClient.open(installation.port);
    client.send(request);
    await until("an answer", () => client.text.includes("\r\n\r\n") || client.isEnded);
    return client;
  };

  test("operations M1: when a client of HTTP/1.0 wants to go on, then it may", async () => {
    const client = await ask("GET /answer?size=3 HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n");
    await until("the body", () => client.text.endsWith("xxx"));
    expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.text).toMatch(/^Connection: Keep-Alive\r$/m);
    client.close();
  });

  test("operations M2: when only the head is asked for, then it comes without a length", async () => {
    const client = await ask("HEAD /answer?size=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.text).not.toMatch(/^Content-Length/im);
    expect(client.text.endsWith("\r\n\r\n")).toBe(true);
    client.close();
  });

  test("operations M3: when it has started, then the generated files are there", () => {
    const run = join(installation.directory, "run");
    expect(readFileSync(join(run, "mongrel2.conf"), "utf8")).toMatch(/recv_ident="pushpin-m2-\d+ "/);
    for (const name of ["mongrel2.sqlite", "m2adapter.conf", "m2adapter.pid"])
      expect(existsSync(join(run, name))).toBe(true);
    expect(existsSync(join(run, `mongrel2_${installation.port}.pid`))).toBe(true);
  });

  test("when a stream is held, then what is published arrives", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=m2`);
    await stream.received("[open]\n");
    await installation.publish({ channel: "m2", formats: { "http-stream": { content: "item\n" } } });
    await stream.received("item\n");
    stream.close();
  });

  test("when several polls are held, then one item answers them all", async () => {
    const answers: HttpStream[] = [];
    const pending = Array.from({ length: 5 }, async () => {
      answers.push(await HttpStream.whole(`${installation.url}/poll?channel=m3`));
    });
    const item = { channel: "m3", formats: { "http-response": { body: "news\n" } } };
    await until("answers", async () => {
      await installation.publish(item);
      return until("more", () => answers.length === pending.length, 500).catch(() => undefined);
    });
    expect(answers.map(({ text }) => text)).toEqual(pending.map(() => "news\n"));
  });

  test("when a body is posted, then the backend gets it", async () => {
    const response = await fetch(`${installation.url}/echo`, { method: "POST", body: "x".repeat(50_000) });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("x".repeat(1000));
  });

  test("when a WebSocket is opened, then messages go both ways", async () => {
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/echo`);
    socket.send("hello");
    await socket.received("hello");
    socket.socket.close();
  });

  test("when Mongrel2 is killed, then it is started again", async () => {
    const file = join(installation.directory, "run", `mongrel2_${installation.port}.pid`);
    process.kill(Number(readFileSync(file, "utf8")), "SIGKILL");
    await installation.runner.said(/m2 http:\d+ is back/);
    const response = await fetch(`${installation.url}/answer?size=3`);
    expect(await response.text()).toBe("xxx");
  });

  test("when all is told to stop, then it does, with 0", async () => {
    expect(installation.runner.output).toMatch(/^\[INFO\] \S+ \S+ \[m2 http:\d+\] /m);
    installation.runner.child.kill("SIGTERM");
    expect(await installation.runner.ended(), installation.runner.output).toEqual({ code: 0, signal: null });
  });
});
