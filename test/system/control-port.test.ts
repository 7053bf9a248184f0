import { once } from "node:events";
import { connect, type Socket } from "node:net";
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
});
