import { type Backend, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { Mix, leavesOutPeers } from "./mix.ts";

const KEY = "between-proxies";
const isLeftOut = leavesOutPeers();

/** The proxy that speaks to the backend: it trusts what is signed with our key. */
interface Tier {
  readonly url: string;
  readonly controlUrl: string;
  stop(): Promise<void>;
}

describe.each(["ours", "pushpin-1.36"] as const)("given our proxy in front of %s", (inner) => {
  let backend: Backend;
  let back: Tier;
  let front: Installation;

  beforeAll(async () => {
    if (inner !== "ours" && isLeftOut) return;
    backend = await startGripBackend();
    back =
      inner === "ours"
        ? await Installation.start({
            routes: [`* ${backend.address}`],
            config: { proxy: { upstream_key: KEY } },
          })
        : await Mix.start(
            { connmgr: "condure", core: inner, httpclient: "zurl" },
            [`* ${backend.address}`],
            { upstream_key: KEY },
          );
    front = await Installation.start({
      routes: [`* ${new URL(back.url).host}`],
      config: { proxy: { sig_key: KEY } },
    });
  });

  afterAll(async () => {
    await front?.stop();
    await back?.stop();
    await backend?.stop();
  });

  test("when a stream is held, then the front one holds it, and items published there arrive", async (context) => {
    if (back === undefined) context.skip();
    const stream = await HttpStream.open(`${front.url}/stream?channel=chain`);
    await stream.received("[open]\n");
    const formats = { "http-stream": { content: "from the front" } };
    await until("an item", async () => {
      await front.publish({ channel: "chain", formats });
      return stream.text.includes("from the front");
    });
    // The backend saw the front's signature, not one of the proxy in between.
    const seen = backend.requests.at(-1)?.headers["grip-sig"] as string;
    const claims = JSON.parse(
      Buffer.from(seen.split(".")[1] ?? "", "base64url").toString(),
    ) as Record<string, unknown>;
    expect(claims["iss"]).toBe("pushpin");
    expect(seen.split(".").length).toBe(3);
    stream.close();
  });

  test("when a WebSocket speaks GRIP, then the front one understands it", async (context) => {
    // The original's connection manager keeps the extension to itself (proxy.md 5.3).
    if (inner !== "ours") context.skip();
    const socket = await SocketClient.open(
      `${front.url.replace("http:", "ws:")}/grip?channel=chain-ws`,
    );
    socket.send("hello");
    await socket.received("hello");
    await until("an item", async () => {
      await front.publish({ channel: "chain-ws", formats: { "ws-message": { content: "item" } } });
      return socket.messages.includes("item");
    });
    socket.socket.close(1000);
    await socket.end();
  });
});
