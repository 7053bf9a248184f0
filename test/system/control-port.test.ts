import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { HttpStream, Installation, until } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

describe("given the control port", () => {
  let installation: Installation;
  let backend: Awaited<ReturnType<typeof startGripBackend>>;
  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({ routes: [`* ${backend.address}`] });
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  const open = async (): Promise<{ socket: Socket; text: () => string; ended: () => boolean }> => {
    const socket = connect(installation.controlPort, "127.0.0.1");
    let text = "";
    let isEnded = false;
    socket.on("data", (data) => {
      text += data.toString("latin1");
    });
    socket.on("end", () => {
      isEnded = true;
    });
    await once(socket, "connect");
    return { socket, text: () => text, ended: () => isEnded };
  };
  const request = (content: string, more = "Connection: keep-alive\r\n") => {
    const body = JSON.stringify({
      items: [{ channel: "kept", formats: { "http-stream": { content } } }],
    });
    return `POST /publish/ HTTP/1.1\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
  };

  test("when a client keeps its connection, then all it publishes over it arrives in order", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=kept`);
    await stream.received("[open]");
    const { socket, text, ended } = await open();
    for (let i = 0; i < 20; i += 1) socket.write(request(`${i};`));
    await stream.received("19;");
    expect(stream.text).toContain(Array.from({ length: 20 }, (_, i) => `${i};`).join(""));
    await until("twenty answers", () => text().split("Published").length === 21);
    expect(ended()).toBe(false);
    socket.write(request("last;", ""));
    await until("the end", ended);
    expect(text()).toMatch(/Connection: close\r\n[^]*Published\n$/);
    stream.close();
    socket.destroy();
  });

  test("when more connections than the limit are open, then each is answered when a place is free", async () => {
    const all = await Promise.all(Array.from({ length: 300 }, open));
    for (const { socket } of all) socket.write(request("x;"));
    await until("all answers", () => all.every(({ text }) => text().includes("Published")));
    // With so many at once none is kept.
    await until("ends", () => all.some(({ ended }) => ended()));
    for (const { socket } of all) socket.destroy();
  });

  test("when many short connections come, then a thread takes part, and everything arrives once", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=kept`);
    await stream.received("[open]");
    let sent = 0;
    const publish = async () => {
      const { socket, text, ended } = await open();
      socket.write(request(`<${(sent += 1)}>`, ""));
      await until("an answer", () => ended());
      expect(text()).toContain("Published");
      socket.destroy();
    };
    const round = () => Promise.all(Array.from({ length: 32 }, publish));
    const hasThread = () => installation.runner.output.includes("a thread takes part");
    const endMs = Date.now() + 20_000;
    while (!hasThread() && Date.now() < endMs) await round();
    expect(hasThread()).toBe(true);
    for (let i = 0; i < 10; i += 1) await round();
    // Connections that stay, some of which the thread has accepted.
    const kept = await Promise.all(Array.from({ length: 20 }, open));
    for (let i = 0; i < 3; i += 1)
      for (const { socket } of kept) socket.write(request(`<${(sent += 1)}>`));
    await until("their answers", () => kept.every(({ text }) => text().split("Published").length === 4));
    for (const { socket } of kept) socket.destroy();
    await until("all of it", () => stream.text.split("<").length === sent + 1);
    const numbers = [...stream.text.matchAll(/<(\d+)>/g)].map(([, number]) => Number(number));
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
    stream.close();
  });

  test("when the handler is killed while a thread takes part, then nobody is refused, and it ends orderly", async () => {
    const run = join(installation.directory, "run");
    const pidFile = readdirSync(run).find((one) => /handler.*\.pid$/.test(one)) ?? "";
    const pid = () => {
      try {
        return Number(readFileSync(join(run, pidFile), "utf8"));
      } catch {
        return 0; // it ended while we looked
      }
    };
    const before = pid();
    let answered = 0;
    let isOver = false;
    const publish = async () => {
      while (!isOver) {
        const { socket, text, ended } = await open();
        socket.on("error", () => {});
        socket.write(request("y;", ""));
        await until("an answer, or the end of who was asked", () => ended() || socket.destroyed);
        if (text().includes("Published")) answered += 1;
        socket.destroy();
      }
    };
    const all = Array.from({ length: 8 }, publish);
    await until("publishing", () => answered > 50);
    process.kill(before, "SIGKILL");
    await until("another handler", () => pid() > 0 && pid() !== before);
    const then = answered;
    await until("publishing again", () => answered > then + 50);
    isOver = true;
    await Promise.all(all);
    await installation.runner.stop();
    expect(installation.runner.exit).toMatchObject({ code: 0 });
  });
});
