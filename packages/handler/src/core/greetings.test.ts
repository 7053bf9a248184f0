import { ID_LIST_MAX, type Packet, Session } from "@pushpin/zhttp";
import { describe, expect, test } from "vitest";
import { Greetings } from "./greetings.ts";

function resumed(id: string, peer = "connmgr-0-a"): Session {
  return Session.resume({
    kind: "http",
    from: "handler-0-b",
    peer,
    id,
    inSeq: 3,
    outSeq: 7,
    outCredits: 1000,
    multi: true,
    nowMs: 0,
  });
}

function greetings() {
  const sent: { to: string; packet: Packet }[] = [];
  return { sent, greetings: new Greetings("handler-0-b", (to, packet) => sent.push({ to, packet })) };
}

describe("given clients that are taken over", () => {
  test("when many are greeted, then one packet speaks for as many as it may, and each goes on counting", () => {
    const { sent, greetings: all } = greetings();
    const sessions = Array.from({ length: ID_LIST_MAX + 1 }, (_, i) => resumed(`${i}`));
    for (const session of sessions) expect(all.add(session)).toBe(true);
    expect(sent.length).toBe(1);
    all.flush();
    expect(sent.map(({ packet }) => packet.ids?.length)).toEqual([ID_LIST_MAX, 1]);
    expect(sent[0]?.packet).toMatchObject({ type: "keep-alive", from: "handler-0-b", multi: true });
    expect(sent[0]?.packet.ids?.[0]).toEqual({ id: "0", seq: 7 });
    expect(sessions[0]?.takePacket()).toBeUndefined();
    sessions[0]?.keepAlive();
    expect(sessions[0]?.takePacket()?.seq).toBe(8);
  });

  test("when they are of two connection managers, then each gets its own", () => {
    const { sent, greetings: all } = greetings();
    all.add(resumed("1"));
    all.add(resumed("1", "connmgr-1-a"));
    all.flush();
    expect(sent.map(({ to }) => to)).toEqual(["connmgr-0-a", "connmgr-1-a"]);
  });

  test("when one has more to say, then it says it itself", () => {
    const { greetings: all } = greetings();
    const anchored = resumed("1");
    anchored.setAnchor("new");
    expect(all.add(anchored)).toBe(false);
    const writing = resumed("2");
    writing.write("text", true);
    expect(all.add(writing)).toBe(false);
    expect(anchored.takePacket()?.anchor).toBe("new");
  });
});
