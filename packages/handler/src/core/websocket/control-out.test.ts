import { decode } from "@pushpin/tnetstrings";
import { CONTROL_ITEMS_MAX, type ControlPacket, decodeControlPacket } from "@pushpin/zrpc";
import { describe, expect, test } from "vitest";
import { ControlOut, controlSeqBase, ItemTemplate } from "./control-out.ts";

const MESSAGE = new ItemTemplate({ type: "send", contentType: "text", message: "a message" });
const OTHER = new ItemTemplate({ type: "send", contentType: "text", message: "another" });

function collecting(firstSeq = 0) {
  const frames: { to: string; text: string; packet: ControlPacket }[] = [];
  const out = new ControlOut("handler", firstSeq, (to, frame) => {
    const decoded = decode(frame);
    const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
    if (!packet.ok) throw new Error(packet.error);
    frames.push({ to, text: frame.toString("latin1"), packet: packet.value });
  });
  return { out, frames };
}

describe("given what the handler has to say to proxies", () => {
  test("when a message is for several sessions of a proxy, then it is written once, and arrives as an item for each", () => {
    const { out, frames } = collecting();
    for (const cid of ["a", "b", "c"]) out.addShared("proxy", MESSAGE, cid);
    out.flush();
    expect(frames.length).toBe(1);
    expect(frames[0]?.text.split("a message").length).toBe(2);
    expect(frames[0]?.packet.items.map(({ cid, message }) => [cid, message])).toEqual(
      ["a", "b", "c"].map((cid) => [cid, "a message"]),
    );
  });

  test("when other items come between, then all arrive in the order in which they were added", () => {
    const { out, frames } = collecting();
    out.addShared("proxy", MESSAGE, "a");
    out.addShared("proxy", OTHER, "a");
    out.add("proxy", { cid: "b", type: "refresh" });
    out.addShared("proxy", OTHER, "b");
    out.addShared("proxy", OTHER, "c");
    out.flush();
    expect(
      frames[0]?.packet.items.map(({ cid, type, message }) => `${cid} ${message ?? type}`),
    ).toEqual(["a a message", "a another", "b refresh", "b another", "c another"]);
  });

  test("when there are two proxies and many sessions, then each packet has as many items as it may", () => {
    const { out, frames } = collecting();
    for (let i = 0; i < 2 * CONTROL_ITEMS_MAX + 2; i += 1)
      out.addShared(i % 2 === 0 ? "one" : "two", MESSAGE, String(i));
    out.flush();
    expect(frames.map(({ to, packet }) => [to, packet.items.length])).toEqual([
      ["one", CONTROL_ITEMS_MAX],
      ["two", CONTROL_ITEMS_MAX],
      ["one", 1],
      ["two", 1],
    ]);
  });

  test("when its proxy dies, then a session gets again what was behind the mark, alone", () => {
    const { out, frames } = collecting();
    out.keepFor("proxy");
    for (const cid of ["a", "b"]) out.addShared("proxy", MESSAGE, cid);
    for (const cid of ["a", "b"]) out.addShared("proxy", OTHER, cid);
    out.flush();
    const seq = frames[0]?.packet.seq ?? 0;
    out.replay("b", "proxy", "successor", seq * CONTROL_ITEMS_MAX + 1); // b has got the first
    out.flush();
    expect(frames.at(-1)).toMatchObject({
      to: "successor",
      packet: { items: [{ cid: "b", message: "another" }] },
    });
    expect(frames.at(-1)?.packet.items.length).toBe(1);
  });

  test("when a handler follows another, then a mark of the other's holds back nothing of its own", () => {
    const before = collecting(controlSeqBase([1000, 0]));
    before.out.keepFor("proxy");
    for (let i = 0; i < 1000; i += 1) {
      before.out.addShared("proxy", MESSAGE, "a");
      before.out.flush();
    }
    const mark = (before.frames.at(-1)?.packet.seq ?? 0) * CONTROL_ITEMS_MAX;
    const { out, frames } = collecting(controlSeqBase([1000, 100_000_000]));
    out.keepFor("proxy");
    out.addShared("proxy", OTHER, "a");
    out.replay("a", "proxy", "successor", mark);
    out.flush();
    expect(frames.at(-1)).toMatchObject({ to: "successor", packet: { items: [{ message: "another" }] } });
    expect(Number.isSafeInteger(controlSeqBase([100 * 365 * 86_400, 0]) * CONTROL_ITEMS_MAX)).toBe(true);
  });
});
