import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SocketClient, SocketClientEvents } from "../websocket/socket-ports.ts";
import { SocketTimers, TICK_MS } from "../websocket/socket-timers.ts";
import { FramedClient } from "./framed-client.ts";
import { HEARTBEAT_MS } from "./polling-session.ts";

function make(isOpen = true) {
  let nowMs = 0;
  const timers = new SocketTimers(0);
  /** What the relay is told, and what the WebSocket below is asked to do. */
  const reported: string[] = [];
  const below: string[] = [];
  const backend = { takes: true };
  const flow = { granted: 0 };
  const events: SocketClientEvents = {
    message: (type, body) => {
      reported.push(`${type} ${String(body).slice(0, 20)}`);
      if (backend.takes && body.length > 0) framed.grant(body.length);
    },
    ping: () => void reported.push("ping"),
    pong: () => void reported.push("pong"),
    close: (code, reason) => void reported.push(`close ${code ?? "-"} ${String(reason)}`),
    drained: () => void reported.push("drained"),
    gone: () => void reported.push("gone"),
  };
  const framed = new FramedClient(timers, () => nowMs, events);
  const lower: SocketClient = {
    queuedBytes: 7,
    accept: (head) => void below.push(`accept ${head.code}`),
    reject: (head, body) => void below.push(`reject ${head.code} ${String(body)}`),
    message: (type, body) => void below.push(`${type} ${String(body).slice(0, 40)}`),
    ping: () => void below.push("ping"),
    pong: () => void below.push("pong"),
    close: (code, reason) => void below.push(`close ${code ?? "-"} ${String(reason)}`),
    drop: () => void below.push("drop"),
    grant: (bytes) => {
      flow.granted += bytes;
    },
  };
  framed.lower = lower;
  if (isOpen) framed.accept({ code: 101, reason: "", headers: [] });
  return {
    framed,
    client: framed.lowerEvents,
    reported,
    below,
    backend,
    flow,
    advance(ms: number) {
      for (let left = ms; left > 0; left -= TICK_MS) {
        nowMs += TICK_MS;
        timers.advance(nowMs);
      }
    },
  };
}

describe("given a framed WebSocket that another process has accepted", () => {
  test("when it goes on here, then there is no second o, and messages and heartbeats go as before", () => {
    const { framed, client, reported, below, advance } = make(false);
    framed.resume();
    framed.message("text", "one", false);
    client.message("text", '["two"]', false);
    advance(HEARTBEAT_MS + TICK_MS);
    expect(below).toEqual(['text a["one"]', "text h"]);
    expect(reported).toEqual(["text two"]);
  });
});

describe("given a framed WebSocket", () => {
  test("proxy R154: when it is accepted, then an o comes first, and every message in a frame of its own", () => {
    const { framed, below } = make();
    framed.message("text", "on", true);
    framed.message("text", "e", false);
    framed.message("binary", "\xc3\xa9\xff", false);
    expect(below).toEqual([
      "accept 101",
      "text o",
      'text a["one"]',
      'text a["\xc3\xa9\xef\xbf\xbd"]',
    ]);
  });

  test("proxy R154: when the client sends an array, then each text is a message", () => {
    const { client, reported, flow } = make();
    client.message("text", '["a",', true);
    expect(flow.granted).toBe(5);
    client.message("text", '"\\u00e9",""]', false);
    expect(reported).toEqual(["text a", "text \xc3\xa9", "text "]);
    expect(flow.granted).toBe(17);
    client.message("binary", "[]", false);
    expect([reported.length, flow.granted]).toEqual([3, 19]);
  });

  test.each(['"y"', "", "{}", "[1]", '["a",null]', '["a"', "null", "[[]]"])(
    "proxy R154: when the client sends %j, then it is dropped without a close",
    (frame) => {
      const { client, below, reported, advance } = make();
      client.message("text", frame, false);
      expect([below.at(-1), reported]).toEqual(["drop", ["gone"]]);
      advance(60_000);
      expect(below.at(-1)).toBe("drop");
    },
  );

  test("when a message of the client is over 200000 bytes, then it is dropped", () => {
    const at = (bytes: number) => {
      const { client, below } = make();
      client.message("text", JSON.stringify(["x".repeat(bytes)]), false);
      return below.at(-1);
    };
    expect([at(200_000), at(200_001)]).toEqual(["text o", "drop"]);
  });

  test("when a wrapped message is over 400000 bytes, then it is dropped, before it is complete", () => {
    const at = (bytes: number) => {
      const { client, below } = make();
      client.message("text", `["${"x".repeat(150_000)}",`, true);
      client.message("text", " ".repeat(bytes - 150_006), true);
      client.message("text", '""', true);
      return below.at(-1);
    };
    expect([at(400_000), at(400_001)]).toEqual(["text o", "drop"]);
  });

  test("when a message of the backend is over 200000 bytes, then the client is dropped", () => {
    const { framed, below, reported } = make();
    framed.message("text", "x".repeat(200_000), true);
    expect(below.at(-1)).toBe("text o");
    framed.message("text", "x", true);
    expect([below.at(-1), reported]).toEqual(["drop", ["gone"]]);
  });

  test("when the backend takes nothing, then the client gets no room for another frame", () => {
    const { framed, client, backend, flow } = make();
    backend.takes = false;
    client.message("text", '["abc","d"]', false);
    framed.grant(3);
    expect(flow.granted).toBe(0);
    framed.grant(1);
    expect(flow.granted).toBe(11);
  });

  test("when 25 s pass without a frame, then a heartbeat is sent, and none after the end", () => {
    const { framed, below, advance } = make();
    advance(24_900);
    expect(below.at(-1)).toBe("text o");
    advance(200);
    expect(below.at(-1)).toBe("text h");
    framed.close(4005, "bye");
    advance(60_000);
    expect(below.slice(-2)).toEqual(["text h", "close 4005 bye"]);
  });

  test("when the backend has closed, then what the client still sends makes way for its close", () => {
    const { framed, client, reported, flow } = make();
    framed.close(1000, "");
    client.message("text", '["late"]', false);
    client.close(1000, "");
    client.gone();
    expect(reported).toEqual(["close 1000 ", "gone"]);
    expect(flow.granted).toBe(8);
  });

  test("when the client closes or goes, then the relay is told, and pings are not", () => {
    const { client, reported, flow } = make();
    client.ping("p");
    client.pong("qq");
    client.close(4001, "mine");
    client.drained();
    client.gone();
    expect([reported, flow.granted]).toEqual([["close 4001 mine", "drained", "gone"], 3]);
  });

  test("when the backend refuses, then the client gets its answer as it is", () => {
    const { framed, below } = make(false);
    framed.reject({ code: 403, reason: "No", headers: [] }, "no\n");
    expect(below).toEqual(["reject 403 no\n"]);
  });
});

describe("given any frames", () => {
  const frame = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.array(fc.string()).map((one) => JSON.stringify(one)),
    fc.constantFrom("[", "[".repeat(5000), '["\\ud800"]', "\xff\xfe", '["a"]x'),
  );

  test("then each is all of its messages or the end, in whatever pieces it comes", () => {
    fc.assert(
      fc.property(frame, fc.nat(8), (given, cut) => {
        const bytes = Buffer.from(given, "utf8").toString("latin1");
        const { client, reported, below } = make();
        client.message("text", bytes.slice(0, cut), true);
        client.message("text", bytes.slice(cut), false);
        let value: unknown;
        try {
          value = JSON.parse(Buffer.from(bytes, "latin1").toString("utf8"));
        } catch {
          value = undefined;
        }
        const isFine = Array.isArray(value) && value.every((one) => typeof one === "string");
        if (isFine) expect(reported.length).toBe((value as string[]).length);
        else expect([reported, below.at(-1)]).toEqual([["gone"], "drop"]);
      }),
      { numRuns: 1000 },
    );
  });
});
