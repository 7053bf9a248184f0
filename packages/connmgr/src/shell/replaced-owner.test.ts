import { Packet, PREFETCH_BYTES } from "@pushpin/zhttp";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Connmgr,
  type HandlerSession,
  type RawClient,
  type StartOptions,
  startConnmgr,
} from "../../../../test/connmgr/fixture.ts";
import { BODY_KEPT_MAX_BYTES } from "../core/kept-body.ts";

const OWNER = "proxy-0-a";
const SUCCESSOR = "proxy-0-b";

let connmgr: Connmgr;
let clients: RawClient[] = [];

async function start(options: StartOptions = {}): Promise<void> {
  connmgr = await startConnmgr({ ownProxy: true, bufferSize: 1_000_000, ...options });
}

async function client(): Promise<RawClient> {
  const one = await connmgr.client();
  clients.push(one);
  return one;
}

/** A request whose head and `sent` body bytes have come, all of which its owner has got. */
async function upload(method: string, length: number, sent: number) {
  const one = await client();
  one.send(`${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
  const session = await connmgr.session();
  session.from = OWNER;
  session.send({ type: "credit", credits: 1_000_000 });
  one.send("x".repeat(sent));
  await session.until((seen) => seen.bodyBytes === sent);
  return { one, session };
}

/** The second session of a request: what its first owner had got comes again. */
async function again(): Promise<HandlerSession> {
  const second = await connmgr.session(1);
  second.from = SUCCESSOR;
  second.send({ type: "credit", credits: 1_000_000 });
  return second;
}

afterEach(async () => {
  for (const one of clients) one.socket.destroy();
  clients = [];
  await connmgr.stop();
});

describe("given a request in the middle of its body, when its owner is replaced", () => {
  test("and its method may be repeated, then it begins anew, and the rest of the body follows", async () => {
    await start();
    const { one, session } = await upload("PUT", 20_000, 15_000);
    connmgr.engine.takeover(SUCCESSOR);
    const second = await again();
    expect(second.first).toMatchObject({ method: "PUT", more: true });
    expect(second.first.id).not.toBe(session.first.id);
    one.send("y".repeat(5000));
    await second.until((seen) => seen.bodyBytes === 20_000);
    expect(second.last?.more).toBe(false);
    second.respond(200, "hi");
    await one.until("hi");
    expect(connmgr.engine.keptBodies.keptBytes).toBe(0);
  });

  test("and nobody can have seen any of it, then it begins anew whatever its method", async () => {
    await start();
    const { one } = await upload("POST", 20_000, PREFETCH_BYTES - 1);
    connmgr.engine.takeover(SUCCESSOR);
    const second = await again();
    one.send("y".repeat(20_000 - PREFETCH_BYTES + 1));
    await second.until((seen) => seen.bodyBytes === 20_000);
    second.respond(200, "hi");
    await one.until("hi");
  });

  test.each([
    ["a backend may have seen it", 20_000, PREFETCH_BYTES],
    ["all of it was sent", 10, 10],
  ])("and its method may not be repeated and %s, then 502", async (_, length, sent) => {
    await start({ ownProxy: false });
    const { one } = await upload("POST", length, sent);
    connmgr.engine.takeover(SUCCESSOR);
    expect(await one.closed()).toContain("HTTP/1.1 502 ");
    expect(connmgr.engine.keptBodies.keptBytes).toBe(0);
  });

  test("and more was sent than is kept, then 502", async () => {
    await start();
    const { one } = await upload("PUT", BODY_KEPT_MAX_BYTES * 2, BODY_KEPT_MAX_BYTES + 1);
    connmgr.engine.takeover(SUCCESSOR);
    expect(await one.closed()).toContain("HTTP/1.1 502 ");
  });

  test("and the client leaves, then nothing of the body is kept", async () => {
    await start();
    const { one, session } = await upload("PUT", 20_000, 15_000);
    expect(connmgr.engine.keptBodies.keptBytes).toBe(15_000);
    one.socket.destroy();
    await session.until((seen) => seen.last?.type === "cancel");
    expect(connmgr.engine.keptBodies.keptBytes).toBe(0);
  });
});

describe("given a chunked request that waits for the client's word, when its owner is replaced", () => {
  test("then the client is told to go on by the successor, and its body comes whole", async () => {
    await start();
    const one = await client();
    one.send(
      "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    const session = await connmgr.session();
    session.from = OWNER;
    session.send({ type: "keep-alive" });
    connmgr.engine.takeover(SUCCESSOR);
    const second = await again();
    await one.until("100 Continue");
    one.send("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    await second.until((seen) => seen.body === "abc" && seen.last?.more === false);
  });
});

describe("given a client whose owner keeps an anchor here, when it leaves", () => {
  async function leave(): Promise<HandlerSession> {
    await start();
    const one = await client();
    one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const session = await connmgr.session();
    session.from = OWNER;
    session.send({ code: 200, reason: "OK", headers: [], more: true, anchor: "state" });
    await one.until("200 OK");
    one.socket.destroy();
    await session.until((seen) => seen.last?.type === "cancel");
    return session;
  }

  test("and the owner does not confirm it, then its successor gets the session and its end", async () => {
    const session = await leave();
    const seen = session.packets.length;
    connmgr.engine.takeover(SUCCESSOR);
    const [resume, cancel] = session.packets.slice(seen);
    expect(resume).toMatchObject({ type: "resume", anchor: "state" });
    expect(cancel).toMatchObject({ type: "cancel", seq: (resume?.seq ?? 0) + 1 });
    connmgr.engine.takeover("proxy-0-c");
    expect(session.packets.slice(seen + 2).map((one) => one.type)).toEqual(["resume", "cancel"]);
  });

  test("and the owner confirms it, then its successor hears nothing of it", async () => {
    const session = await leave();
    const seen = session.packets.length;
    expect(connmgr.syncs).toHaveLength(1);
    const synced = Object.assign(new Packet(), { type: "synced", from: OWNER });
    connmgr.deliver(Object.assign(synced, { seq: connmgr.syncs[0]?.seq }));
    connmgr.engine.takeover(SUCCESSOR);
    expect(session.packets.length).toBe(seen);
  });
});
