import { afterEach, describe, expect, test } from "vitest";
import { type Asked, type Client, ProxyRig, valueOf } from "./proxy-rig.ts";

const rigs: ProxyRig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.stop();
});
function make(...args: ConstructorParameters<typeof ProxyRig>): ProxyRig {
  const rig = new ProxyRig(...args);
  rigs.push(rig);
  return rig;
}
const O = "127.0.0.1:1000";
const ERROR = "Error while proxying to origin.\n";
const GRIP = ["Sec-WebSocket-Extensions", "grip"];

/** A WebSocket that is open to a backend. */
function open(headers: readonly string[] = [], route = `* ${O}`, settings = {}) {
  const rig = make(route, settings);
  const client = rig.webSocket();
  rig.answer(rig.last, 101, headers);
  return { rig, client, backend: rig.last };
}

describe("given a WebSocket", () => {
  test("proxy R102: when its target is the test handler, then it says everything again", () => {
    const rig = make("* test");
    const client = rig.webSocket({ uri: "ws://h/ws" });
    rig.message(client, "text");
    rig.message(client, "bin", false, "binary");
    rig.fromClient(client, (packet) => {
      packet.type = "ping";
      packet.body = "pp";
    });
    rig.close(client, 4003, "x");
    expect(client.messages).toEqual(["text", "binary:bin", "ping:pp", "close:4003 x"]);
  });

  test("proxy R103: when the client offers protocols and extensions, then protocols pass, and grip is ours", () => {
    const rig = make(`* ${O}`);
    const headers = ["Host", "h", "Sec-WebSocket-Protocol", "p1,p2", "Sec-WebSocket-Extensions", "foo"]; // prettier-ignore
    const client = rig.webSocket({ headers });
    expect(valueOf(rig.last.headers, "sec-websocket-protocol")).toBe("p1,p2");
    expect(valueOf(rig.last.headers, "sec-websocket-extensions")).toBe("grip");
    rig.answer(rig.last, 101, ["Sec-WebSocket-Protocol", "p1", ...GRIP]);
    expect(client).toMatchObject({ code: 101 });
    expect(client.headers).toEqual(["Sec-WebSocket-Protocol", "p1"]);
  });

  test("proxy R104, R105: when either side closes, then code and reason pass", () => {
    for (const [code, text] of [
      [4002, "close:4002 cl"],
      [undefined, "close:"],
    ] as const) {
      const { rig, client, backend } = open();
      rig.close(client, code, code === undefined ? "" : "cl");
      expect(backend.messages).toEqual([text]);
    }
    const { rig, client, backend } = open();
    rig.fromBackend(backend, (packet) => {
      packet.type = "close";
      packet.code = 4001;
      packet.body = "bye";
    });
    expect(client.messages).toEqual(["close:4001 bye"]);
    const lost = open();
    lost.rig.fail(lost.backend, "disconnected");
    expect(lost.client).toMatchObject({ messages: [], end: "cancel" });
  });

  test("proxy R106: when the backend refuses, then its answer is the client's", () => {
    const rig = make(`* ${O}`);
    const client = rig.webSocket();
    rig.fromBackend(rig.last, (packet) => {
      packet.type = "error";
      packet.condition = "rejected";
      packet.code = 403;
      packet.reason = "No";
      packet.headers = ["X-Why", "no"];
      packet.body = "nope\n";
    });
    expect(client).toMatchObject({ code: 403, reason: "No", body: "nope\n", headers: ["X-Why", "no"] });
  });

  test("proxy R107, R108, R109: when no target takes it, then the reason is shown where it may be", () => {
    const refused = make(`*,debug ${O}`);
    const client = refused.webSocket();
    refused.fail(refused.last, "remote-connection-failed");
    expect(client).toMatchObject({
      code: 502,
      headers: [],
      body: `Unable to connect to any targets. Tried: ${O}\n`,
    });
    const denied = make(`*,debug ${O},untrusted`);
    const other = denied.webSocket();
    denied.fail(denied.last, "policy-violation");
    expect(other).toMatchObject({ code: 502, body: ERROR });
    const wrong = make("*,debug zhttpreq/ipc:///x");
    expect(wrong.webSocket().body).toBe("WebSockets cannot be used with zhttpreq target\n");
  });

  test("proxy R117: when the route subscribes, then the handler learns of it, whatever the backend speaks", () => {
    const { rig, client, backend } = open([], `h,prefix=pfx- ${O},sub=chan1`);
    rig.flush();
    expect(rig.told("here")[0]).toMatchObject({ uri: "ws://h/", channelPrefix: "pfx-", ttl: 60 });
    expect(rig.told("subscribe")[0]).toMatchObject({ channel: "chan1" });
    rig.command({ cid: rig.told("here")[0]?.cid ?? "", type: "send", contentType: "text", message: "item" }); // prettier-ignore
    rig.say(backend, "m:not grip");
    expect(client.messages).toEqual(["item", "m:not grip"]);
  });

  test("proxy R118: when the client is a trusted proxy, then it gets everything as it is", () => {
    const { rig, client, backend } = open(GRIP, `h,no_grip ${O}`);
    expect(valueOf(backend.headers, "sec-websocket-extensions")).toBeUndefined();
    rig.say(backend, "m:hi");
    rig.say(backend, 'c:{"type":"detach"}');
    expect(client.messages).toEqual(["m:hi", 'c:{"type":"detach"}']);
    expect(rig.told("grip")).toEqual([]);
  });

  const grip = () => {
    const { rig, client, backend } = open(GRIP);
    rig.flush();
    const cid = rig.told("here")[0]?.cid ?? "";
    return { rig, client, backend, cid };
  };

  test("when a control message is followed by one for the client, then the handler has been sent it first", () => {
    const { rig, client, backend, cid } = grip();
    rig.command({ cid, type: "ack", reqId: rig.told("here")[0]?.reqId });
    rig.say(backend, 'c:{"type":"subscribe","channel":"a"}');
    expect(rig.told("grip")).toEqual([]); // it may go along with others
    rig.say(backend, "m:hello");
    expect(rig.told("grip")).toHaveLength(1);
    expect(client.messages).toEqual(["hello"]);
  });

  test("proxy R119: when the handler detaches it, then the backend is gone, and the client stays", () => {
    const { rig, client, backend, cid } = grip();
    rig.say(backend, 'c:{"type":"detach"}');
    rig.flush();
    expect(rig.told("grip")[0]).toMatchObject({ message: '{"type":"detach"}' });
    rig.command({ cid, type: "detach" });
    expect(backend.messages).toEqual(["close:"]);
    rig.say(backend, "m:late");
    rig.message(client, "nobody hears");
    rig.command({ cid, type: "send", contentType: "text", message: "item" });
    expect(client.messages).toEqual(["item"]);
    rig.close(client, 4009);
    expect(client.messages.at(-1)).toMatch(/^close:/);
    expect(backend.messages).toEqual(["close:"]);
  });

  test("proxy R120: when a keep-alive is set up, then the handler is asked for it in time", () => {
    const { rig, cid } = grip();
    rig.command({ cid, type: "keep-alive-setup", timeout: 2, keepAliveMode: "interval" });
    rig.advance(5000);
    const { length } = rig.told("need-keep-alive");
    expect(length).toBeGreaterThanOrEqual(2);
    rig.command({ cid, type: "keep-alive-setup" });
    rig.advance(5000);
    expect(rig.told("need-keep-alive").length).toBe(length);
  });

  test("proxy R121: when the handler does not acknowledge, then the client is dropped", () => {
    const rig = make(`* ${O}`);
    const client = rig.webSocket();
    rig.answer(rig.last, 101, GRIP);
    // The test's handler answers; this one has gone by the time it is asked.
    rig.flush();
    rig.engine.controlPacket = () => {};
    rig.say(rig.last, 'c:{"type":"subscribe","channel":"c"}');
    rig.advance(7000);
    expect(client.end).toBeUndefined();
    rig.advance(2500);
    expect(client.end).toBe("cancel");
  });

  test("proxy R122: when the handler's message falls into a fragmented one, then it waits for its end", () => {
    const { rig, client, backend, cid } = grip();
    rig.say(backend, "m:aa", true);
    rig.command({ cid, type: "send", contentType: "text", message: "delayed", queue: true, reqId: "7" });
    rig.command({ cid, type: "send", contentType: "text", message: "published" });
    expect(client.messages).toEqual([]);
    rig.say(backend, "bb");
    rig.say(backend, "m:next");
    expect(client.messages).toEqual(["aabb", "delayed", "published", "next"]);
    rig.flush();
    expect(rig.told("ack").filter((one) => one.reqId === "7").length).toBe(1);
  });

  test("proxy R123: when messages are of any size, then they arrive whole", () => {
    for (const size of [199_999, 200_000, 200_001, 1_000_000]) {
      const { rig, client, backend } = open();
      const text = "x".repeat(size);
      rig.message(client, text);
      rig.say(backend, text);
      expect([size, client.messages[0]?.length]).toEqual([size, size]);
    }
  });

  test("when one message is for many, then it goes in one packet, and each gets it once", () => {
    const rig = make(`* ${O}`);
    const clients: Client[] = [];
    for (let i = 0; i < 5; i += 1) {
      clients.push(rig.webSocket());
      rig.answer(rig.last, 101, GRIP);
    }
    rig.flush();
    for (const { cid } of rig.told("here")) rig.command({ cid, type: "ack", reqId: "0" });
    for (const { cid } of rig.told("here"))
      rig.command({ cid, type: "send", contentType: "text", message: "all" });
    expect(clients.map((one) => one.messages)).toEqual(Array(5).fill(["all"]));
  });

  test("when a client falls too far behind, then it is closed with a reason", () => {
    const { rig, client, cid } = grip();
    client.isStalled = true;
    const big = "x".repeat(700_000);
    for (let i = 0; i < 4; i += 1)
      rig.command({ cid, type: "send", contentType: "text", message: big });
    client.isStalled = false;
    rig.fromClient(client, (packet) => {
      packet.type = "credit";
      packet.credits = 10_000_000;
    });
    expect(client.messages.at(-1)).toBe("close:1008 too slow");
    expect(client.messages.length).toBe(4);
  });
});

/** Events in a request to a backend. */
const events = (asked: Asked) => asked.body;
const EVENTS = ["Content-Type", "application/websocket-events"];

describe("given a WebSocket whose backend speaks HTTP", () => {
  function over(route = `* ${O},over_http`, settings = {}) {
    const rig = make(route, settings);
    const client = rig.webSocket({
      headers: ["Host", "h", "Cookie", "a=b", "Meta-Evil", "1", "Connection-Id", "x", "Accept", "y"],
    });
    return { rig, client };
  }
  const reply = (rig: ProxyRig, body: string, headers: readonly string[] = []) =>
    rig.answer(rig.last, 200, [...EVENTS, ...headers], body);
  function opened(headers: readonly string[] = [], route?: string, settings = {}) {
    const { rig, client } = over(route, settings);
    reply(rig, "OPEN\r\n", headers);
    return { rig, client };
  }

  test("proxy R124: when it opens, then the backend gets OPEN and the client's headers", () => {
    const { rig } = over();
    expect(rig.last).toMatchObject({ method: "POST", uri: "http://h/", body: "OPEN\r\n" });
    const { headers } = rig.last;
    expect(valueOf(headers, "cookie")).toBe("a=b");
    expect(valueOf(headers, "meta-evil")).toBeUndefined();
    expect(valueOf(headers, "accept")).toBe("application/websocket-events");
    expect(headers.filter((one) => one === "Connection-Id").length).toBe(1);
    expect(valueOf(headers, "connection-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(valueOf(headers, "sec-websocket-extensions")).toBe("grip");
  });

  test("proxy R125: when the backend sets meta, then it comes back until it is cleared", () => {
    const { rig, client } = opened(["Set-Meta-User", "alice", "Set-Meta-X", "1"]);
    rig.message(client, "a");
    expect(valueOf(rig.last.headers, "meta-user")).toBe("alice");
    expect(valueOf(rig.last.headers, "meta-x")).toBe("1");
    reply(rig, "", ["Set-Meta-User", "bob", "Set-Meta-X", ""]);
    rig.message(client, "b");
    expect(valueOf(rig.last.headers, "meta-user")).toBe("bob");
    expect(valueOf(rig.last.headers, "meta-x")).toBeUndefined();
  });

  test("proxy R126: when the client sends all kinds of frames, then each has its event", () => {
    const { rig, client } = opened();
    rig.message(client, "hi");
    expect(events(rig.last)).toBe("TEXT 2\r\nhi\r\n");
    rig.message(client, "bin", false, "binary");
    for (const [type, body] of [["ping", "pq"], ["ping", ""], ["pong", "po"]] as const)
      rig.fromClient(client, (packet) => {
        packet.type = type;
        packet.body = body;
      });
    reply(rig, "");
    expect(events(rig.last)).toBe("BINARY 3\r\nbin\r\nPING 2\r\npq\r\nPING\r\nPONG 2\r\npo\r\n");
  });

  test("proxy R127: when messages come while a request is under way, then they go together", () => {
    const { rig, client } = opened();
    rig.message(client, "m0");
    for (const text of ["m1", "m2", "m3", "m4"]) rig.message(client, text);
    expect(rig.asked.length).toBe(2);
    reply(rig, "");
    expect(events(rig.last).match(/TEXT/g)?.length).toBe(4);
  });

  test("proxy R128: when the target takes one event at a time, then each goes alone, the close last", () => {
    const { rig, client } = opened([], `* ${O},over_http,one_event`);
    for (const text of ["m0", "m1", "m2"]) rig.message(client, text);
    rig.close(client, 1000);
    const seen: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      seen.push(events(rig.last));
      reply(rig, i === 3 ? "CLOSE 2\r\n\u0003\u00e8\r\n" : "");
    }
    expect(seen).toEqual([
      "TEXT 2\r\nm0\r\n",
      "TEXT 2\r\nm1\r\n",
      "TEXT 2\r\nm2\r\n",
      "CLOSE 2\r\n\u0003\u00e8\r\n",
    ]);
    expect(client.messages).toEqual(["close:1000"]);
  });

  test("proxy R129: when the client closes, then the event says how", () => {
    for (const [code, reason, event] of [
      [4001, "bye", "CLOSE 5\r\n\u000f\u00a1bye\r\n"],
      [undefined, "", "CLOSE\r\n"],
    ] as const) {
      const { rig, client } = opened();
      rig.close(client, code, reason);
      expect(events(rig.last)).toBe(event);
    }
  });

  test("proxy R130: when the client vanishes, then the backend is told after what it is doing", () => {
    const { rig, client } = opened();
    rig.message(client, "last words");
    rig.disconnect(client);
    expect(rig.asked.length).toBe(2);
    reply(rig, "");
    expect(events(rig.last)).toBe("DISCONNECT\r\n");
    reply(rig, "");
    expect(rig.asked.length).toBe(3);
  });

  test("proxy R131: when the backend closes, then the client does, and the backend hears of it", () => {
    const { rig, client } = opened();
    rig.message(client, "x");
    reply(rig, "CLOSE 4\r\n\u000f\u00a5by\r\n");
    expect(client.messages).toEqual(["close:4005 by"]);
    rig.close(client, 4005, "by");
    expect(events(rig.last)).toBe("CLOSE 4\r\n\u000f\u00a5by\r\n");
  });

  test("proxy R132: when a close is not answered, then the client is dropped", () => {
    const { rig, client } = opened();
    rig.close(client, 1000);
    reply(rig, "");
    expect(client).toMatchObject({ messages: [], end: "cancel" });
  });

  test.each([
    ["DISCONNECT\r\n", 200, EVENTS],
    ["", 500, EVENTS],
    ["OPEN\r\n", 200, EVENTS],
    ["garbage", 200, EVENTS],
    ["TEXT zz\r\nx\r\n", 200, EVENTS],
    ["", 200, ["Content-Type", "text/plain"]],
  ])("proxy R133: when the backend answers %j with %i, then the client is dropped, and nobody is asked again", (body, code, headers) => {
    const { rig, client } = opened();
    rig.message(client, "x");
    rig.answer(rig.last, code, headers, body);
    expect(client.end).toBe("cancel");
    rig.advance(1000);
    expect(rig.asked.length).toBe(2);
  });

  test.each([
    [403, EVENTS, "no", 403],
    [200, ["Content-Type", "text/plain"], "page", 200],
    [200, ["Content-Type", "application/websocket-events; x=y"], "OPEN\r\n", 200],
  ])("proxy R134: when OPEN is answered by %i and %j, then that is the client's answer", (code, headers, body, expected) => {
    const { rig, client } = over();
    rig.answer(rig.last, code, headers, body);
    expect(client).toMatchObject({ code: expected, body, end: "rejected" });
  });

  test.each(["TEXT 1\r\nx\r\n", "", "garbage"])(
    "proxy R135: when OPEN is answered by %j, then the handshake fails",
    (body) => {
      const { rig, client } = over();
      reply(rig, body);
      expect(client).toMatchObject({ code: 502, body: ERROR });
    },
  );

  test("proxy R136, R137: when events have content they need not have, or are unknown, then the others count", () => {
    const { rig, client } = over();
    reply(rig, "OPEN 0\r\n\r\nTEXT 2\r\nhi\r\n");
    expect(client).toMatchObject({ code: 101, messages: ["hi"] });
    rig.message(client, "x");
    reply(rig, "FOO 1\r\nx\r\nTEXT 2\r\nok\r\n");
    expect(client.messages).toEqual(["hi", "ok"]);
  });

  test("proxy R138: when a keep-alive interval is set, then an empty request goes after it, 20 seconds at least", () => {
    const { rig } = opened(["Keep-Alive-Interval", "5"]);
    rig.advance(19_000);
    expect(rig.asked.length).toBe(1);
    rig.advance(1500);
    expect(rig.asked.length).toBe(2);
    expect(rig.last).toMatchObject({ body: "" });
    expect(valueOf(rig.last.headers, "content-length")).toBe("0");
  });

  test("proxy R139, R140: when the backend cannot be reached, then the same is sent again, for half a minute", () => {
    const { rig, client } = opened();
    rig.message(client, "retry1");
    rig.message(client, "retry2");
    rig.fail(rig.last, "remote-connection-failed");
    rig.advance(2100);
    expect(events(rig.last)).toBe("TEXT 6\r\nretry1\r\n");
    reply(rig, "");
    expect(events(rig.last)).toBe("TEXT 6\r\nretry2\r\n");
    const startMs = rig.clock.nowMs();
    for (let i = 0; i < 400 && client.end === undefined; i += 1) {
      if (rig.last.end === undefined && rig.last.seq === 0) rig.fail(rig.last, "remote-connection-failed");
      rig.advance(100);
      if (i % 100 === 0)
        rig.fromClient(client, (packet) => {
          packet.type = "keep-alive";
        });
    }
    expect(client.end).toBe("cancel");
    expect(rig.clock.nowMs() - startMs).toBeGreaterThan(30_500);
    expect(rig.clock.nowMs() - startMs).toBeLessThan(37_500);
  });

  test("proxy R141: when the first target is refused at OPEN, then the second is asked at once", () => {
    const { rig, client } = over("* a:1,over_http b:2,over_http");
    rig.fail(rig.last, "remote-connection-failed");
    expect(rig.last.packet.connectHost).toBe("b");
    reply(rig, "OPEN\r\n");
    expect(client.code).toBe(101);
  });

  test("proxy R142: when a message is too large for an event, then the client is dropped", () => {
    const fits = opened();
    fits.rig.message(fits.client, "x".repeat(199_999));
    expect(events(fits.rig.last).length).toBeGreaterThan(199_999);
    const large = opened();
    large.rig.message(large.client, "x".repeat(200_000));
    expect(large.client.end).toBe("cancel");
    expect(large.rig.asked.length).toBe(1);
  });

  test("proxy R143: when the backend accepts a part, then the rest comes with what is new", () => {
    const { rig, client } = opened();
    rig.message(client, "[foo][hello");
    expect(events(rig.last)).toBe("TEXT b\r\n[foo][hello\r\n");
    reply(rig, "", ["Content-Bytes-Accepted", "5"]);
    expect(rig.asked.length).toBe(2);
    rig.message(client, " world]");
    expect(events(rig.last)).toBe("TEXT 6\r\n[hello\r\nTEXT 7\r\n world]\r\n");
    expect(valueOf(rig.last.headers, "content-bytes-replayed")).toBe("6");
    reply(rig, "", ["Content-Bytes-Accepted", "99"]);
    expect(client.end).toBe("cancel");
  });

  test("proxy R144: when addresses are appended, then once, however many requests there are", () => {
    const { rig, client } = opened([], `* ${O},over_http`, { x_forwarded_for: ["append"] });
    for (const text of ["a", "b", "c"]) {
      rig.message(client, text);
      expect(valueOf(rig.last.headers, "x-forwarded-for")).toBe("127.0.0.1");
      reply(rig, "");
    }
  });

  test("proxy R145: when there is much in either direction, then all of it arrives", () => {
    const { rig, client } = opened();
    rig.message(client, "first");
    for (let i = 0; i < 5; i += 1) rig.message(client, String(i).repeat(90_000));
    let seen = "";
    for (let i = 0; i < 5 && !seen.includes("4".repeat(90_000)); i += 1) {
      seen += events(rig.last);
      reply(rig, i === 0 ? `TEXT ${(500_000).toString(16)}\r\n${"y".repeat(500_000)}\r\n` : "");
    }
    for (let i = 0; i < 5; i += 1) expect(seen).toContain(String(i).repeat(90_000));
    expect(client.messages).toEqual(["y".repeat(500_000)]);
  });

  test("when client and backend change their minds at random, then what was sent is what was accepted", () => {
    let seed = 3;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    for (let round = 0; round < 50; round += 1) {
      const { rig, client } = opened();
      let sent = "";
      let accepted = "";
      let answered = 1;
      for (let step = 0; step < 60; step += 1) {
        if (random(2) === 0) {
          const text = String.fromCharCode(97 + random(26)).repeat(1 + random(30));
          sent += text;
          rig.message(client, text);
        }
        if (rig.asked.length === answered) continue;
        answered += 1;
        const content = contentOf(events(rig.last));
        // Something has to be taken of what could not all be sent; all of it was.
        const bytes = random(content.length + 1);
        accepted += content.slice(0, bytes);
        reply(rig, "", ["Content-Bytes-Accepted", String(bytes)]);
        expect(client.end).toBeUndefined();
      }
      for (let i = 0; i < 100 && accepted !== sent; i += 1) {
        if (rig.asked.length === answered) {
          sent += "!";
          rig.message(client, "!");
        }
        answered += 1;
        accepted += contentOf(events(rig.last));
        reply(rig, "");
      }
      expect(accepted).toBe(sent);
    }
  });
});

/** Contents of the TEXT events of a body. */
function contentOf(body: string): string {
  let content = "";
  let at = 0;
  while (at < body.length) {
    const end = body.indexOf("\r\n", at);
    const bytes = Number.parseInt(body.slice(at, end).split(" ")[1] ?? "0", 16);
    content += body.slice(end + 2, end + 2 + bytes);
    at = end + 2 + bytes + 2;
  }
  return content;
}

describe("given SockJS", () => {
  const SJ = `h,sockjs=/sj ${O}`;
  const post = (rig: ProxyRig, path: string, body = "") =>
    rig.request({ method: "POST", uri: `http://h${path}`, body });
  function session() {
    const rig = make(SJ);
    const first = post(rig, "/sj/000/abc/xhr");
    const backend = rig.last;
    rig.answer(backend, 101);
    return { rig, first, backend };
  }

  test("proxy R146: when information is asked for, then it comes with the common headers", () => {
    const client = make(SJ).request({ uri: "http://h/sj/info" });
    expect(client.body).toMatch(/^\{"cookie_needed":false,"entropy":\d+,"origins":\["\*:\*"\],"websocket":true\}\n$/);
    expect(valueOf(client.headers, "cache-control")).toBe("no-store, no-cache, must-revalidate, max-age=0");
    expect(valueOf(client.headers, "access-control-allow-origin")).toBe("*");
    expect(valueOf(client.headers, "access-control-allow-credentials")).toBe("true");
  });

  test("proxy R147, R148: when a session polls and sends, then messages pass, one poll at a time", () => {
    const { rig, first, backend } = session();
    expect(first.body).toBe("o\n");
    expect(backend.uri).toBe("ws://h/sj");
    const poll = post(rig, "/sj/000/abc/xhr");
    expect(post(rig, "/sj/000/abc/xhr").body).toBe('c[2010,"Another connection still open"]\n');
    expect(post(rig, "/sj/000/abc/xhr_send", '["hi","there"]').body).toBe("ok");
    expect(backend.messages).toEqual(["hi", "there"]);
    rig.say(backend, "hi");
    expect(poll.body).toBe('a["hi"]\n');
    rig.say(backend, "one");
    rig.say(backend, "two");
    expect(post(rig, "/sj/000/abc/xhr").body).toBe('a["one","two"]\n');
  });

  test("proxy R149: when the backend closes, then that is repeated for a while, and the name is free again", () => {
    const { rig, backend } = session();
    const poll = post(rig, "/sj/000/abc/xhr");
    rig.fromBackend(backend, (packet) => {
      packet.type = "close";
      packet.code = 4007;
      packet.body = "srv";
    });
    expect(poll.body).toBe('c[4007,"srv"]\n');
    rig.advance(3000);
    expect(post(rig, "/sj/000/abc/xhr").body).toBe('c[4007,"srv"]\n');
    rig.advance(6000);
    post(rig, "/sj/000/abc/xhr");
    expect(rig.asked.length).toBe(2);
  });

  test("proxy R150: when nobody polls, then the session is over", () => {
    const { rig, backend } = session();
    rig.advance(5600);
    expect(post(rig, "/sj/000/abc/xhr_send", '["x"]')).toMatchObject({ code: 404, body: "Not Found\n" });
    expect(backend.end).toBe("cancel");
  });

  test("proxy R151: when there is no news, then a heartbeat ends the poll", () => {
    const { rig } = session();
    const poll = post(rig, "/sj/000/abc/xhr");
    rig.advance(24_800);
    expect(poll.end).toBeUndefined();
    rig.advance(400);
    expect(poll.body).toBe("h\n");
  });

  test("proxy R152: when it polls by JSON-P, then frames are scripts", () => {
    const rig = make(SJ);
    const client = rig.request({ uri: "http://h/sj/000/abc/jsonp?c=cb" });
    rig.answer(rig.last, 101);
    expect(client.body).toBe('/**/cb("o");\n');
    expect(valueOf(client.headers, "content-type")).toBe("application/javascript");
    expect(rig.request({ uri: "http://h/sj/000/x/jsonp" })).toMatchObject({ code: 400 });
    expect(rig.request({ uri: "http://h/sj/000/x/jsonp?c=alert(1)" })).toMatchObject({ code: 400 });
    const sent = rig.request({
      method: "POST",
      uri: "http://h/sj/000/abc/jsonp_send",
      body: `d=${encodeURIComponent('["a b"]').replace("%20", "+")}`,
    });
    expect(sent.body).toBe("ok");
    expect(rig.last.messages).toEqual(["a b"]);
  });

  test.each(["xhr_streaming", "eventsource", "htmlfile", "nonsense"])(
    "proxy R153: when the transport is %s, then there is none",
    (transport) => {
      const { rig } = session();
      expect(post(rig, `/sj/000/abc/${transport}`)).toMatchObject({ code: 404, body: "Not Found\n" });
    },
  );

  test("proxy R154: when it is a framed WebSocket, then frames are arrays of messages", () => {
    const rig = make(SJ);
    const client = rig.webSocket({ uri: "ws://h/sj/000/abc/websocket" });
    rig.answer(rig.last, 101);
    expect(rig.last.uri).toBe("ws://h/sj/websocket");
    rig.message(client, '["hi"]');
    rig.say(rig.last, "hi");
    rig.advance(25_100);
    expect(client.messages).toEqual(["o", 'a["hi"]', "h"]);
    rig.message(client, '"y"');
    expect(client.end).toBe("cancel");
  });

  test("proxy R155: when it is a raw WebSocket, then frames pass as they are", () => {
    const rig = make(SJ);
    const client = rig.webSocket({ uri: "ws://h/sj/websocket" });
    rig.answer(rig.last, 101);
    expect(rig.last.uri).toBe("ws://h/sj/websocket");
    rig.say(rig.last, "raw");
    expect(client.messages).toEqual(["raw"]);
    expect(rig.webSocket({ uri: "ws://h/sj/other" })).toMatchObject({ code: 404, body: "Not Found\n" });
  });

  test("when payloads are none, too large or too many, then each is told so", () => {
    const { rig } = session();
    const send = (body: string) => post(rig, "/sj/000/abc/xhr_send", body);
    expect(send("{")).toMatchObject({ code: 400, body: "Payload expected\n" });
    expect(send("[1]")).toMatchObject({ code: 400, body: "Payload expected\n" });
    expect(send("[]").body).toBe("ok");
    expect(send(`["${"x".repeat(100_001)}"]`)).toMatchObject({ code: 400, body: "Request too large.\n" });
  });
});
