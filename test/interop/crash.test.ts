import { type Backend, HttpStream, publishTo, SocketClient, until } from "@pushpin/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { leavesOutPeers, Mix } from "./mix.ts";

/** What the original does when one of its processes dies: everything ends, every client with it. */
describe.skipIf(leavesOutPeers())("given the original's connection manager in front of ours", () => {
  let backend: Backend;
  let mix: Mix;

  beforeEach(async () => {
    backend = await startGripBackend();
    const parts = { connmgr: "condure", core: "ours", httpclient: "ours" } as const;
    mix = await Mix.start(parts, [`* ${backend.address},over_http`]);
  });
  afterEach(async () => {
    await mix?.stop();
    await backend?.stop();
  });

  const publish = (content: string) =>
    publishTo(mix.controlUrl, [
      { channel: "a", formats: { "http-stream": { content }, "ws-message": { content } } },
    ]);

  test.each(["handler", "proxy", "httpclient"] as const)(
    "when the %s dies and comes back, then new clients are served, and old ones get nothing wrong",
    async (name) => {
      const old = await HttpStream.open(`${mix.url}/stream?channel=a`);
      await old.received("[open]\n");
      await publish("1;");
      await old.received("1;");
      await mix.replace(name);
      await until("an answer", async () => {
        const answer = await HttpStream.whole(`${mix.url}/echo`).catch(() => undefined);
        return answer?.status === 200;
      });
      const fresh = await HttpStream.open(`${mix.url}/stream?channel=a`);
      await fresh.received("[open]\n");
      const socket = await SocketClient.open(`${mix.url.replace("http", "ws")}/woh?channel=a`);
      socket.send("echo");
      await socket.received("echo");
      await publish("2;");
      await fresh.received("2;");
      await socket.received("2;");
      // A stream is the handler's: nobody gives it back to another handler here.
      if (name !== "handler") await old.received("2;");
      expect(old.text).toBe(name === "handler" ? "[open]\n1;" : "[open]\n1;2;");
      fresh.close();
      old.close();
      socket.socket.terminate();
    },
  );
});
