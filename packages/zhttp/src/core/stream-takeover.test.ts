import { toByteString, type Bytes } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import {
  decodePacket,
  encodePacket,
  Packet,
  readReclaimed,
  readResume,
  Session,
  SESSION_EXPIRE_MS,
} from "./index.ts";

function sent(packet: Packet): Packet {
  const decoded = decodePacket(encodePacket(packet));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value;
}

/** Carries everything over, and returns what arrived. */
function carry(from: Session, to: Session): Packet[] {
  const packets: Packet[] = [];
  for (let one = from.takePacket(); one !== undefined; one = from.takePacket()) {
    const packet = sent(one);
    to.receive(packet, packet.seq, 0);
    packets.push(packet);
  }
  return packets;
}

const shown = (packets: readonly Packet[]) =>
  packets.map(({ type, body, more }) => `${type} ${toByteString(body)}${more ? "…" : ""}`);

/** A proxy's end of a backend's WebSocket, and the HTTP client's, which keeps what it sends. */
function backendSession() {
  const proxy = new Session({ role: "initiator", kind: "websocket", from: "proxy-0-a", id: "1", nowMs: 0, credits: 1000 });
  const keeper = new Session({ role: "responder", kind: "websocket", from: "hc-0-a", id: "1", nowMs: 0, credits: 1000, peer: "proxy-0-a" });
  keeper.keepOutput();
  proxy.open(Object.assign(new Packet(), { uri: "ws://b/" }));
  carry(proxy, keeper);
  keeper.respond({ code: 101, reason: "", headers: [] }, "", false);
  carry(keeper, proxy);
  return { proxy, keeper };
}

/** The successor of the proxy asks for it, and has all up to `at`. */
function reclaimed(keeper: Session, at: number) {
  const successor = new Session({ role: "initiator", kind: "websocket", from: "proxy-0-b", id: "9", nowMs: 0, credits: 1000 });
  successor.reclaim("hc-0-a", "proxy-0-a 1", at);
  const packet = sent(successor.takePacket() as Packet);
  expect(packet).toMatchObject({ type: "resume", at });
  const next = Session.reopen(keeper, { peer: packet.from, id: packet.id, nowMs: 0, credits: packet.credits, at, inSeq: 1 });
  if (next === undefined) throw new Error("cannot go on");
  const packets = carry(next, successor);
  return { successor, next, told: readReclaimed(packets[0] as Packet), packets: shown(packets.slice(1)) };
}

const text = (session: Session, body: Bytes, more = false) => session.message("text", body, more);

describe("given a backend's WebSocket whose proxy has died", () => {
  test("when the successor has a part, then it gets the rest, from the middle of a message, and the close", () => {
    const { proxy, keeper } = backendSession();
    expect([proxy.at, keeper.at]).toEqual([0, 0]);
    text(keeper, "abc");
    keeper.ping("p");
    text(keeper, "def");
    carry(keeper, proxy);
    expect(proxy.inPos).toBe(10);
    text(keeper, "ghi");
    keeper.close(4000, "bye");
    for (let one = keeper.takePacket(); one !== undefined; one = keeper.takePacket());
    const { told, packets, successor, next } = reclaimed(keeper, 8);
    expect(told).toMatchObject({ start: 8, isMid: true, received: 0, isClosed: false });
    expect(packets).toEqual(["data f", "data ghi", "close bye"]);
    expect([successor.inPos, next.outPos]).toEqual([14, 14]);
    expect(keeper.ended).toBe(true);
  });

  test("when something was credited already, then it begins behind that", () => {
    const { proxy, keeper } = backendSession();
    text(keeper, "abc");
    text(keeper, "def");
    carry(keeper, proxy);
    proxy.grant(3);
    carry(proxy, keeper);
    expect(reclaimed(keeper, 0)).toMatchObject({ told: { start: 4, isMid: false }, packets: ["data def"] });
  });

  test("when the next one dies too, then the third gets what neither had", () => {
    const { keeper } = backendSession();
    text(keeper, "abc");
    const { next } = reclaimed(keeper, 2);
    text(next, "d");
    expect(reclaimed(next, 2)).toMatchObject({ told: { start: 2, isMid: true }, packets: ["data c", "data d"] });
  });

  test("when the client's messages were on the way, then it says how many arrived, and what it has not credited", () => {
    const { proxy, keeper } = backendSession();
    text(proxy, "abc");
    proxy.close(1000, "");
    carry(proxy, keeper);
    const { told, successor } = reclaimed(keeper, 0);
    expect(told).toMatchObject({ received: 4, isClosed: true });
    expect(successor.submittedBytes - successor.confirmedBytes).toBe((told?.window ?? 0) - 997);
  });

  test("when nobody comes, then it lasts longer than a session that nobody can go on with", () => {
    const { keeper } = backendSession();
    expect(keeper.isExpired(SESSION_EXPIRE_MS)).toBe(false);
    expect(keeper.isExpired(2 * SESSION_EXPIRE_MS)).toBe(true);
  });
});

describe("given a client's WebSocket whose messages carry their place", () => {
  function clientSession() {
    const client = new Session({ role: "initiator", kind: "websocket", from: "cm-0-a", id: "1", nowMs: 0, credits: 100 });
    const proxy = new Session({ role: "responder", kind: "websocket", from: "proxy-0-a", id: "1", nowMs: 0, credits: 100, peer: "cm-0-a" });
    client.open(Object.assign(new Packet(), { uri: "ws://a/" }));
    carry(client, proxy);
    proxy.at = 0;
    proxy.setAnchor("anchor");
    proxy.respond({ code: 101, reason: "", headers: [] }, "", false);
    carry(proxy, client);
    return { client, proxy };
  }

  test("when a message is cut for want of credits, then each part says how far it goes", () => {
    const { client, proxy } = clientSession();
    proxy.message("text", "x".repeat(150), false, 1153);
    proxy.message("text", "published", false);
    expect(carry(proxy, client).map((one) => one.at)).toEqual([1102]);
    client.grant(100);
    carry(client, proxy);
    expect(carry(proxy, client).map((one) => one.at)).toEqual([1153, undefined]);
    expect(client.at).toBe(1153);
    expect(proxy.submittedBytes - proxy.confirmedBytes).toBe(59);
  });

  test("when its proxy dies, then the successor learns the place of both streams, and gets the rest to the byte", () => {
    const { client, proxy } = clientSession();
    proxy.message("text", "b", false, 7);
    carry(proxy, client);
    text(client, "abcd", true);
    client.ping("p");
    text(client, "", false);
    carry(client, proxy);
    proxy.grant(2);
    carry(proxy, client);
    expect(client.handTo("proxy-0-b")).toBe(true);
    const resume = sent(client.takePacket() as Packet);
    expect(readResume(resume, "proxy-0-b", 0)?.point).toEqual({ at: 7, sent: 2, isMid: true });
    const rest: Packet[] = [];
    for (let one = client.takePacket(); one !== undefined; one = client.takePacket()) rest.push(one);
    expect(shown(rest)).toEqual(["data cd…", "ping p", "data "]);
    expect(client.outPos).toBe(7);
  });
});
