import { ManualClock } from "@pushpin/clock";
import { decodeWebSocketEvents, type WebSocketEvent } from "@pushpin/grip";
import { getAllHeaders, getHeader } from "@pushpin/http";
import { memoryLog } from "@pushpin/log";
import { type Bytes, fromUtf8, toByteString } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, Session } from "@pushpin/zhttp";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RelayPorts, SessionEnd } from "../relay/ports.ts";
import type { Target } from "../routes/route-table.ts";
import type { SocketOriginEvents } from "../websocket/socket-ports.ts";
import { SocketTimers, TICK_MS } from "../websocket/socket-timers.ts";
import { DISCONNECTS_MAX } from "./background-disconnects.ts";
import { MESSAGE_MAX_BYTES, QUEUED_EVENTS_MAX } from "./event-queue.ts";
import { RESPONSE_MAX_BYTES } from "./events-request.ts";
import { META_MAX_BYTES } from "./meta-items.ts";
import { FRAME_BYTES, OverHttpShared, WebSocketOverHttp } from "./websocket-over-http.ts";

const EVENTS_TYPE = "application/websocket-events";
const CONNECTION_ID = "1f0c2c9e-6a4b-4c0e-8a55-0d1c6b7a1d11";
const OPEN = "OPEN\r\n";

const TARGET = {
  kind: "backend",
  host: "127.0.0.1",
  port: 80,
  label: "127.0.0.1:80",
  trusted: false,
  insecure: false,
  trustConnectHost: false,
  clientCert: "",
  clientKey: "",
  overHttp: true,
  oneEvent: false,
} as unknown as Target;

interface Posted {
  readonly headers: readonly string[];
  readonly body: string;
  readonly packet: Packet;
  readonly end: SessionEnd;
  seq: number;
  isOver: boolean;
}

interface RigOptions {
  readonly target?: Partial<Target>;
  readonly headers?: readonly string[];
  readonly shared?: OverHttpShared;
  readonly isReachable?: boolean;
}

/** A connection between a client of the test's own and an HTTP client of the test's own. */
class Rig {
  readonly clock = new ManualClock(1_000_000);
  readonly log = memoryLog();
  readonly posts: Posted[] = [];
  readonly ends = new Map<Session, SessionEnd>();
  /** What the client's side was told, as text. */
  readonly told: string[] = [];
  readonly heads: { code: number; headers: string[] }[] = [];
  readonly replies: ((reply: Packet | undefined) => void)[] = [];
  /** Grants at once what it is told. */
  grants = true;
  signatures = 0;
  onMessage: (() => void) | undefined;
  readonly timers: SocketTimers;
  readonly shared: OverHttpShared;
  readonly origin: WebSocketOverHttp;
  #partial = "";

  constructor(options: RigOptions = {}) {
    this.timers = new SocketTimers(this.clock.nowMs());
    this.shared = options.shared ?? new OverHttpShared(this.timers, () => 0.5);
    this.origin = new WebSocketOverHttp(
      this.#ports(options),
      {
        shared: this.shared,
        target: { ...TARGET, ...options.target },
        uri: "http://backend.test/ws",
        headers: options.headers ?? ["Host", "backend.test", "Grip-Sig", "old"],
        connectionId: CONNECTION_ID,
        signature: () => {
          this.signatures += 1;
          return `sig${this.signatures}`;
        },
      },
      this.#events(),
    );
  }

  #ports(options: RigOptions): RelayPorts {
    let nextId = 0;
    return {
      clock: this.clock,
      log: this.log,
      nowMs: () => this.clock.nowMs(),
      openBackend: (kind: "http" | "websocket", credits: number) => {
        nextId += 1;
        const nowMs = this.clock.nowMs();
        const id = String(nextId);
        return new Session({ role: "initiator", kind, from: "proxy", id, nowMs, credits });
      },
      isReachable: () => options.isReachable ?? true,
      requestReply: (_target: Target, packet: Packet, done: (reply?: Packet) => void) => {
        this.replies.push(done);
        this.#post(packet, undefined as unknown as SessionEnd);
      },
      register: (end: SessionEnd) => this.ends.set(end.session, end),
      unregister: (end: SessionEnd) => this.#unregister(end),
      pump: (session: Session) => this.#pump(session),
    } as unknown as RelayPorts;
  }

  #pump(session: Session): void {
    for (;;) {
      const packet = session.takePacket();
      if (packet === undefined) return;
      if (packet.uri !== "") this.#post(packet, this.ends.get(session) as SessionEnd);
    }
  }

  #unregister(end: SessionEnd): void {
    expect(end.session.ended || this.last.isOver).toBe(true);
    this.ends.delete(end.session);
    for (const post of this.posts) if (post.end === end) post.isOver = true;
  }

  #post(packet: Packet, end: SessionEnd): void {
    expect(this.posts.every((one) => one.isOver)).toBe(true); // one request at a time
    const body = toByteString(packet.body);
    this.posts.push({ headers: packet.headers ?? [], body, packet, end, seq: 0, isOver: false });
  }

  #events(): SocketOriginEvents {
    const told = (text: string, bytes: Bytes) => {
      this.told.push(text);
      if (this.grants) this.origin.grant(bytes.length);
    };
    return {
      opened: (head) => {
        this.heads.push(head);
        this.told.push("opened");
      },
      rejected: (head, body) => {
        this.heads.push(head);
        this.told.push(`rejected ${head.code} ${toByteString(body)}`);
      },
      inMidMessage: () => {},
    stateChanged: () => {},
      failed: (condition) => this.told.push(`failed ${condition}`),
      message: (type, body, more) => {
        this.#partial += toByteString(body);
        if (this.grants) this.origin.grant(body.length);
        this.onMessage?.();
        if (more) return;
        this.told.push(`${type} ${this.#partial}`);
        this.#partial = "";
      },
      ping: (body) => told(`ping ${toByteString(body)}`, body),
      pong: (body) => told(`pong ${toByteString(body)}`, body),
      close: (code, reason) => this.told.push(`close ${code} ${toByteString(reason)}`),
      drained: () => {},
      gone: () => this.told.push("gone"),
    };
  }

  get last(): Posted {
    return this.posts.at(-1) as Posted;
  }

  get bodies(): string[] {
    return this.posts.map((one) => one.body);
  }

  /** The request under way, if there is one. */
  get pending(): Posted | undefined {
    return this.posts.find((one) => !one.isOver);
  }

  answer(body: Bytes, headers: readonly string[] = [], code = 200, type = EVENTS_TYPE): void {
    const packet = new Packet();
    packet.code = code;
    packet.reason = "OK";
    packet.headers = ["Content-Type", type, "Content-Length", String(body.length), ...headers];
    packet.body = body;
    this.#toLast(packet, true);
  }

  /** The HTTP client says it has the request. */
  acknowledge(): void {
    const packet = new Packet();
    packet.type = "keep-alive";
    this.#toLast(packet, false);
  }

  fail(condition: string): void {
    const packet = new Packet();
    packet.type = "error";
    packet.condition = condition;
    this.#toLast(packet, true);
  }

  expire(): void {
    const { last } = this;
    last.isOver = true;
    last.end.expired();
  }

  #toLast(packet: Packet, isOver: boolean): void {
    const { last } = this;
    packet.from = "client";
    last.isOver = isOver;
    last.end.packet(packet, last.seq++, this.clock.nowMs());
  }

  advance(ms: number): void {
    for (let at = 0; at < ms; at += TICK_MS) {
      this.clock.advance(TICK_MS);
      this.timers.advance(this.clock.nowMs());
    }
  }
}

/** A connection that the backend has accepted. */
function opened(headers: readonly string[] = [], options: RigOptions = {}): Rig {
  const rig = new Rig(options);
  rig.origin.open();
  rig.answer(OPEN, headers);
  return rig;
}

const header = (post: Posted, name: string) => getHeader(post.headers, name);
const text = (content: string) => `TEXT ${content.length.toString(16)}\r\n${content}\r\n`;

describe("given a client that connects", () => {
  test("proxy R124: when its handshake has headers of ours, then they are replaced, and the rest is kept", () => {
    const rig = new Rig({
      headers: [
        ...["Host", "a", "Cookie", "c=1", "Meta-Evil", "x", "connection-id", "mine"],
        ...["Accept", "*/*", "Upgrade", "websocket", "Content-Length", "3"],
        ...["Content-Type", "text/html", "content-bytes-replayed", "7"],
        ...["Sec-WebSocket-Key", "k", "Sec-WebSocket-Extensions", "grip", "Grip-Sig", "old"],
      ],
    });
    rig.origin.open();
    const { packet, headers } = rig.last;
    expect([packet.method, packet.uri, rig.last.body]).toEqual([
      "POST",
      "http://backend.test/ws",
      OPEN,
    ]);
    expect(headers).toEqual([
      ...["Host", "a", "Cookie", "c=1", "Sec-WebSocket-Key", "k"],
      ...["Sec-WebSocket-Extensions", "grip", "Grip-Sig", "sig1"],
      ...["Accept", EVENTS_TYPE, "Connection-Id", CONNECTION_ID],
      ...["Content-Type", EVENTS_TYPE, "Content-Length", "6"],
    ]);
    expect([packet.connectHost, packet.connectPort]).toEqual(["127.0.0.1", 80]);
  });

  test("when requests follow, then only the signature is made anew", () => {
    const rig = opened([], { headers: ["X-Forwarded-For", "1.2.3.4", "grip-sig", "old"] });
    rig.origin.message("text", "a", false);
    rig.answer("");
    rig.origin.message("text", "b", false);
    expect(rig.posts.map((one) => header(one, "grip-sig"))).toEqual(["sig1", "sig2", "sig3"]);
    expect(getAllHeaders(rig.last.headers, "cookie")).toEqual([]);
    expect(rig.last.headers.slice(0, 2)).toEqual(["X-Forwarded-For", "1.2.3.4"]);
  });

  test("proxy R144: when several requests are sent, then X-Forwarded-For stays as it was", () => {
    const rig = opened([], { headers: ["X-Forwarded-For", "1.2.3.4"] });
    for (let i = 0; i < 5; i += 1) {
      rig.origin.message("text", "a", false);
      rig.answer("");
    }
    for (const post of rig.posts)
      expect(getAllHeaders(post.headers, "x-forwarded-for")).toEqual(["1.2.3.4"]);
    expect(rig.posts).toHaveLength(6);
  });

  test("when the backend answers OPEN, then its headers without those of the protocol are passed on", () => {
    const rig = opened([
      ...["Keep-Alive-Interval", "30", "Set-Meta-A", "1", "Date", "today", "Keep-Alive", "timeout=5"],
      ...["Sec-WebSocket-Extensions", "grip"],
    ]);
    expect(rig.heads).toEqual([
      {
        code: 101,
        reason: "Switching Protocols",
        headers: ["Date", "today", "Keep-Alive", "timeout=5", "Sec-WebSocket-Extensions", "grip"],
      },
    ]);
  });

  test.each([
    ["403", 403, "text/plain", "no"],
    ["200 with another type", 200, "text/plain", "hello"],
    ["200 with a parameter", 200, `${EVENTS_TYPE}; charset=utf-8`, OPEN],
  ])("proxy R134: when OPEN is answered by %s, then it is refused with that", (_, code, type, body) => {
    const rig = new Rig();
    rig.origin.open();
    rig.answer(body, ["X-Why", "because", "Connection", "close"], code, type);
    expect(rig.told).toEqual([`rejected ${code} ${body}`]);
    expect(rig.heads[0]?.headers).toEqual([
      ...["Content-Type", type, "Content-Length", String(body.length), "X-Why", "because"],
    ]);
  });

  test.each([text("hi"), "", "garbage", "OPEN", "OPEN zz\r\n", "FOO\r\n"])(
    "proxy R135: when OPEN is answered by %j, then the handshake has failed",
    (body) => {
      const rig = new Rig();
      rig.origin.open();
      rig.answer(body);
      expect(rig.told).toEqual(["failed undefined-condition"]);
      rig.advance(120_000);
      expect(rig.posts).toHaveLength(1);
    },
  );

  test("proxy R136: when OPEN has content and a message follows, then it opens and delivers", () => {
    const rig = new Rig();
    rig.origin.open();
    rig.answer(`OPEN 0\r\n\r\n${text("hi")}`);
    expect(rig.told).toEqual(["opened", "text hi"]);
  });

  test("when the answer is empty with a keep-alive interval, then OPEN is asked again until it comes", () => {
    const rig = new Rig();
    rig.origin.open();
    rig.answer("", ["Keep-Alive-Interval", "20"]);
    rig.advance(19_000);
    expect(rig.posts).toHaveLength(1);
    rig.advance(1200);
    expect(rig.bodies).toEqual([OPEN, OPEN]);
    expect(rig.told).toEqual([]);
    rig.answer(OPEN);
    expect(rig.told).toEqual(["opened"]);
  });

  test.each(["remote-connection-failed", "connection-timeout", "policy-violation"])(
    "proxy R141: when OPEN fails by %s, then this is reported at once, for the next target",
    (condition) => {
      const rig = new Rig();
      rig.origin.open();
      rig.fail(condition);
      expect(rig.told).toEqual([`failed ${condition}`]);
    },
  );

  test("when the response to OPEN is too large, then the handshake has failed", () => {
    const rig = new Rig();
    rig.origin.open();
    rig.answer(OPEN + text("x".repeat(RESPONSE_MAX_BYTES)));
    expect(rig.told).toEqual(["failed max-size-exceeded"]);
  });

  test("when the client goes away before the answer, then the request is cancelled and that is all", () => {
    const rig = new Rig();
    rig.origin.open();
    rig.origin.drop();
    expect(rig.pending).toBeUndefined();
    rig.advance(60_000);
    expect(rig.bodies).toEqual([OPEN]);
    expect(rig.ends.size).toBe(0);
  });
});

describe("given an open connection", () => {
  test("proxy R125: when the backend sets meta items, then they come with all requests that follow", () => {
    const rig = opened(["Set-Meta-User", "alice", "Set-Meta-X", "1"]);
    const meta = () => rig.last.headers.filter((_, i, all) => /^Meta-/i.test(all[i - (i % 2)] ?? ""));
    rig.origin.message("text", "a", false);
    expect(meta()).toEqual(["Meta-User", "alice", "Meta-X", "1"]);
    rig.answer("", ["set-meta-user", "bob", "Set-Meta-x", ""]);
    rig.origin.message("text", "b", false);
    expect(meta()).toEqual(["Meta-user", "bob"]);
  });

  test("when the meta items become too much, then the client is dropped", () => {
    const rig = opened(["Set-Meta-A", "x".repeat(META_MAX_BYTES / 2)]);
    rig.origin.message("text", "a", false);
    rig.answer("", ["Set-Meta-A", "y".repeat(META_MAX_BYTES / 2)]);
    expect(rig.told).toEqual(["opened"]);
    rig.origin.message("text", "b", false);
    rig.answer("", ["Set-Meta-B", "x".repeat(META_MAX_BYTES / 2)]);
    expect(rig.told).toEqual(["opened", "gone"]);
  });

  test("proxy R126: when messages and controls come, then each is the event of its type", () => {
    const rig = opened();
    rig.origin.message("text", "hi", false);
    rig.origin.message("binary", "bin", false);
    rig.origin.ping("pq");
    rig.origin.ping("");
    rig.origin.pong("po");
    rig.origin.message("text", "", false);
    rig.answer("");
    expect(rig.bodies.slice(1)).toEqual([
      "TEXT 2\r\nhi\r\n",
      "BINARY 3\r\nbin\r\nPING 2\r\npq\r\nPING\r\nPONG 2\r\npo\r\nTEXT 0\r\n\r\n",
    ]);
  });

  test("proxy R127: when messages come during a request, then one request takes them all", () => {
    const rig = opened();
    rig.origin.message("text", "m0", false);
    for (const one of ["m1", "m2", "m3", "m4"]) rig.origin.message("text", one, false);
    expect(rig.posts).toHaveLength(2);
    rig.answer("");
    expect(rig.last.body).toBe(["m1", "m2", "m3", "m4"].map(text).join(""));
  });

  test("when a message comes in fragments, then it is sent when it is complete", () => {
    const rig = opened();
    rig.origin.message("binary", "a", true);
    rig.origin.ping("p");
    rig.answer("");
    rig.origin.message("binary", new Uint8Array([98]), true);
    rig.origin.message("binary", "", false);
    expect(rig.bodies.slice(1)).toEqual(["PING 1\r\np\r\n", "BINARY 2\r\nab\r\n"]);
  });

  test("proxy R128: when the target takes one event, then each has a request of its own, the close too", () => {
    const rig = opened([], { target: { oneEvent: true } });
    for (const one of ["m0", "m1", "m2"]) rig.origin.message("text", one, false);
    rig.origin.close(1000, "");
    while (rig.pending !== undefined) rig.answer("");
    expect(rig.bodies.slice(1)).toEqual([
      text("m0"),
      text("m1"),
      text("m2"),
      "CLOSE 2\r\n\x03\xe8\r\n",
    ]);
  });

  test.each([
    [4001, "bye", "CLOSE 5\r\n\x0f\xa1bye\r\n"],
    [undefined, "", "CLOSE\r\n"],
    [0, "", "CLOSE\r\n"],
    [70_000, "bad", "CLOSE\r\n"],
  ])("proxy R129: when the client closes with %s %j, then the event is %j", (code, reason, event) => {
    const rig = opened();
    rig.origin.close(code, reason);
    expect(rig.last.body).toBe(event);
    rig.answer("CLOSE 2\r\n\x03\xe8\r\n");
    expect(rig.told).toEqual(["opened", "close 1000 ", "gone"]);
    rig.advance(60_000);
    expect(rig.posts).toHaveLength(2);
  });

  test("when the client closes in the middle of a message, then that message is left out", () => {
    const rig = opened();
    rig.origin.message("text", "half", true);
    rig.origin.close(1000, "");
    expect(rig.last.body).toBe("CLOSE 2\r\n\x03\xe8\r\n");
  });

  test("proxy R131: when the backend closes, then the client's answer is the next request", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.answer("CLOSE 4\r\n\x0f\xa5by\r\nTEXT 4\r\nlate\r\n", ["Keep-Alive-Interval", "20"]);
    expect(rig.told).toEqual(["opened", "close 4005 by"]);
    rig.origin.refresh();
    rig.advance(30_000);
    expect(rig.posts).toHaveLength(2);
    rig.origin.close(4005, "by");
    expect(rig.last.body).toBe("CLOSE 4\r\n\x0f\xa5by\r\n");
    rig.answer("");
    expect(rig.told).toEqual(["opened", "close 4005 by", "gone"]);
  });

  test.each(["CLOSE\r\n", "CLOSE 2\r\n\0\0\r\n", "CLOSE 1\r\nx\r\n"])(
    "when the backend closes by %j, then it is a close without a code",
    (event) => {
      const rig = opened();
      rig.origin.message("text", "a", false);
      rig.answer(event);
      expect(rig.told).toEqual(["opened", "close undefined "]);
    },
  );

  test("proxy R132: when a close is answered by nothing and there is no keep-alive, then the client is dropped", () => {
    const rig = opened();
    rig.origin.close(1000, "");
    rig.answer("");
    expect(rig.told).toEqual(["opened", "gone"]);
    rig.advance(60_000);
    expect(rig.posts).toHaveLength(2);
  });

  test("when a close is answered by nothing with keep-alive on, then a later response may close", () => {
    const rig = opened(["Keep-Alive-Interval", "20"]);
    rig.origin.close(1000, "");
    rig.answer("");
    expect(rig.told).toEqual(["opened"]);
    rig.advance(20_200);
    expect(rig.last.body).toBe("");
    rig.answer("CLOSE 2\r\n\x03\xe8\r\n");
    expect(rig.told).toEqual(["opened", "close 1000 ", "gone"]);
  });

  test.each([
    ["DISCONNECT", "DISCONNECT\r\n", 200, EVENTS_TYPE],
    ["a message and DISCONNECT", `${text("a")}DISCONNECT 0\r\n\r\n`, 200, EVENTS_TYPE],
    ["500", "", 500, EVENTS_TYPE],
    ["another type", "", 200, "text/plain"],
    ["a second OPEN", OPEN, 200, EVENTS_TYPE],
    ["an OPEN after a message", text("a") + OPEN, 200, EVENTS_TYPE],
    ["a malformed event", "TEXT x\r\n", 200, EVENTS_TYPE],
    ["a line without an end", "TEXT", 200, EVENTS_TYPE],
    ["too much", text("x".repeat(RESPONSE_MAX_BYTES)), 200, EVENTS_TYPE],
  ])("proxy R133: when the answer is %s, then the client is dropped and no request follows", (...given) => {
    const [, body, code, type] = given;
    const rig = opened(["Keep-Alive-Interval", "20"]);
    rig.origin.message("text", "a", false);
    rig.origin.message("text", "b", false);
    rig.answer(body, [], code, type);
    expect(rig.told.at(-1)).toBe("gone");
    expect(rig.told.filter((one) => one === "gone")).toHaveLength(1);
    rig.origin.message("text", "c", false);
    rig.origin.refresh();
    rig.origin.drop();
    rig.advance(120_000);
    expect(rig.posts).toHaveLength(2);
    expect(rig.ends.size).toBe(0);
  });

  test("when OPEN comes twice in the answer to OPEN, then the client is dropped", () => {
    const rig = new Rig();
    rig.origin.open();
    rig.answer(OPEN + OPEN);
    expect(rig.told).toEqual(["opened", "gone"]);
  });

  test("proxy R137: when an unknown event comes, then only it is ignored", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.answer(`FOO 1\r\nx\r\nBAR\r\nTEXT 2\r\nok\r\nPING 1\r\np\r\nPONG\r\nbinary 1\r\nx\r\n`);
    expect(rig.told).toEqual(["opened", "text ok", "ping p", "pong "]);
  });

  test("proxy R138: when the interval is 5 s, then an empty request is sent after 20 s without others", () => {
    const rig = opened(["Keep-Alive-Interval", "5"]);
    rig.advance(15_000);
    rig.origin.message("text", "a", false);
    rig.answer("");
    rig.advance(19_900);
    expect(rig.posts).toHaveLength(2);
    rig.advance(200);
    expect(rig.last.body).toBe("");
    expect(header(rig.last, "content-length")).toBe("0");
    expect(header(rig.last, "content-type")).toBe(EVENTS_TYPE);
    rig.answer(text("due"), ["Keep-Alive-Interval", "nonsense"]);
    expect(rig.told).toEqual(["opened", "text due"]);
    rig.advance(120_000);
    expect(rig.posts).toHaveLength(3);
  });

  test("when it is refreshed, then a request follows at once, after the one under way", () => {
    const rig = opened();
    rig.origin.refresh();
    rig.origin.refresh();
    rig.origin.refresh();
    expect(rig.bodies.slice(1)).toEqual([""]);
    rig.answer("");
    expect(rig.bodies.slice(1)).toEqual(["", ""]);
    rig.answer("");
    expect(rig.pending).toBeUndefined();
  });

  test("when a message of the backend is large, then it comes in pieces", () => {
    const rig = opened();
    const sizes: number[] = [];
    let at = 0;
    rig.origin.message("text", "a", false);
    rig.onMessage = () => {
      sizes.push(at);
      at += 1;
    };
    rig.answer(text("x".repeat(2 * FRAME_BYTES + 1)));
    expect(sizes).toHaveLength(3);
    expect(rig.told.at(-1)?.length).toBe("text ".length + 2 * FRAME_BYTES + 1);
  });

  test("when events of the backend wait for the client, then no request starts until they are passed on", () => {
    const rig = opened();
    rig.grants = false;
    rig.origin.message("text", "a", false);
    rig.origin.message("text", "b", false);
    rig.answer(text("x".repeat(200_000)));
    expect(rig.posts).toHaveLength(2);
    rig.origin.grant(1);
    expect(rig.last.body).toBe(text("b"));
  });

  test("when the client of a slow connection closes, then the backend hears of it all the same", () => {
    const rig = opened();
    rig.grants = false;
    rig.origin.message("text", "a", false);
    rig.answer(text("x".repeat(300_000)));
    rig.origin.close(1000, "");
    expect(rig.last.body).toBe("CLOSE 2\r\n\x03\xe8\r\n");
  });

  test("when the client answers within the delivery, then its message goes into the next request", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.onMessage = () => rig.origin.message("text", "answer", false);
    rig.answer(text("one") + text("two"));
    rig.onMessage = undefined;
    expect(rig.bodies.slice(2)).toEqual([text("answer") + text("answer")]);
  });
});

describe("given messages of all sizes", () => {
  test("proxy R142: when a message has 199999 bytes, then it is sent; with one more the client is dropped", () => {
    const rig = opened();
    for (let at = 0; at < MESSAGE_MAX_BYTES; at += 50_000)
      rig.origin.message("binary", "x".repeat(Math.min(50_000, MESSAGE_MAX_BYTES - at)), true);
    rig.origin.message("binary", "", false);
    expect(rig.last.body.length).toBe("BINARY 30d3f\r\n\r\n".length + 199_999);
    rig.answer("");
    rig.origin.message("binary", "x".repeat(200_000), false);
    expect(rig.told).toEqual(["opened", "gone"]);
    expect(rig.posts).toHaveLength(2);
  });

  test("proxy R145: when 5 messages of 90000 bytes wait and 500000 bytes are the reply, then all arrive", () => {
    const rig = opened();
    rig.origin.message("text", "first", false);
    for (let i = 0; i < 5; i += 1) rig.origin.message("text", String(i).repeat(90_000), false);
    rig.answer(text("y".repeat(500_000)));
    expect(rig.told.at(-1)).toBe(`text ${"y".repeat(500_000)}`);
    while (rig.pending !== undefined) rig.answer("");
    const sent = rig.bodies.slice(2);
    expect(sent.map((one) => one.split("TEXT").length - 1)).toEqual([3, 2]);
    expect(sent.join("")).toBe([0, 1, 2, 3, 4].map((i) => text(String(i).repeat(90_000))).join(""));
  });

  test("when a client floods with empty messages, then it is dropped", () => {
    const rig = opened();
    rig.origin.message("text", "first", false);
    for (let i = 0; i < QUEUED_EVENTS_MAX; i += 1) rig.origin.message("text", "", false);
    expect(rig.told).toEqual(["opened", "gone"]);
  });
});

describe("given a backend that accepts a part (proxy R143)", () => {
  const accept = (bytes: number) => ["Content-Bytes-Accepted", String(bytes)];

  test("when 5 bytes of a message are accepted, then the rest is sent with the next, and counted", () => {
    const rig = opened();
    rig.origin.message("text", "[foo][hello", false);
    expect(rig.last.body).toBe("TEXT b\r\n[foo][hello\r\n");
    rig.answer("", accept(5));
    expect(rig.pending).toBeUndefined();
    expect(rig.origin.queuedBytes).toBe(6);
    rig.origin.message("text", " world]", false);
    expect(rig.last.body).toBe("TEXT 6\r\n[hello\r\nTEXT 7\r\n world]\r\n");
    expect(header(rig.last, "content-bytes-replayed")).toBe("6");
    rig.answer("");
    rig.origin.message("text", "x", false);
    expect(header(rig.last, "content-bytes-replayed")).toBeUndefined();
  });

  test("when the replayed count stands and the request is repeated, then it is counted again", () => {
    const rig = opened();
    rig.origin.message("text", "abc", false);
    rig.answer("", accept(1));
    rig.origin.refresh();
    rig.fail("remote-connection-failed");
    rig.advance(1600);
    expect(rig.bodies.slice(2)).toEqual([text("bc"), text("bc")]);
    expect(header(rig.last, "content-bytes-replayed")).toBe("2");
  });

  test("when more is accepted than was sent, or no number, then the client is dropped", () => {
    for (const value of ["4", "x", "-1", ""]) {
      const rig = opened();
      rig.origin.message("text", "abc", false);
      rig.answer("", ["Content-Bytes-Accepted", value]);
      expect(rig.told, value).toEqual(["opened", "gone"]);
    }
  });

  test("when nothing is accepted of a request with everything queued, then it waits, whatever came meanwhile", () => {
    const rig = opened();
    rig.origin.message("text", "abc", false);
    rig.origin.message("text", "later", false);
    rig.answer("", accept(0));
    expect(rig.told).toEqual(["opened"]);
    expect(rig.last.body).toBe(text("abc") + text("later"));
    expect(header(rig.last, "content-bytes-replayed")).toBe("3");
  });

  test("when nothing is accepted of a request that left something out, then the client is dropped", () => {
    const rig = opened([], { target: { oneEvent: true } });
    rig.origin.message("text", "first", false);
    rig.origin.message("text", "abc", false);
    rig.origin.message("text", "def", false);
    rig.answer("");
    expect(rig.last.body).toBe(text("abc"));
    rig.answer("", accept(0));
    expect(rig.told).toEqual(["opened", "gone"]);
  });

  test("when what is not accepted leaves no room for the next message, then the client is dropped", () => {
    const rig = opened();
    rig.origin.message("text", "x".repeat(150_000), false);
    rig.answer("", accept(0));
    rig.origin.message("text", "y".repeat(49_999), true);
    expect(rig.told).toEqual(["opened"]);
    rig.origin.message("text", "y", true);
    expect(rig.told).toEqual(["opened", "gone"]);
  });

  test("when messages with a close are accepted in part, then the rest comes with the close again", () => {
    const rig = opened();
    rig.origin.message("text", "first", false);
    rig.origin.message("text", "abc", false);
    rig.origin.close(1000, "");
    rig.answer("");
    rig.answer("", accept(2));
    expect(rig.last.body).toBe(`${text("c")}CLOSE 2\r\n\x03\xe8\r\n`);
    rig.answer("CLOSE\r\n", accept(3));
    expect(rig.told).toEqual(["opened", "close undefined ", "gone"]);
  });

  test("when messages are accepted and the close is not, then the client is dropped", () => {
    const rig = opened();
    rig.origin.message("text", "first", false);
    rig.origin.message("text", "abc", false);
    rig.origin.close(1000, "");
    rig.answer("");
    rig.answer("", accept(4));
    expect(rig.told).toEqual(["opened", "gone"]);
  });

  test("when nothing is ever accepted of a request with a close, then the pauses grow and end", () => {
    const rig = opened();
    rig.origin.message("text", "first", false);
    rig.origin.message("text", "abc", false);
    rig.origin.close(1000, "");
    rig.answer("");
    for (let i = 0; i < 5; i += 1) {
      rig.answer("", accept(0));
      expect(rig.pending).toBeUndefined();
      rig.advance(1000 * 2 ** i + 600);
      expect(rig.pending?.body).toBe(`${text("abc")}CLOSE 2\r\n\x03\xe8\r\n`);
    }
    rig.answer("", accept(0));
    expect(rig.told).toEqual(["opened", "gone"]);
  });
});

describe("given failing requests", () => {
  test("proxy R139: when the backend refuses for a while, then the same request is sent again, then the rest", () => {
    const rig = opened();
    rig.origin.message("text", "retry1", false);
    rig.origin.message("text", "retry2", false);
    rig.fail("remote-connection-failed");
    rig.origin.message("text", "retry3", false);
    rig.origin.refresh();
    expect(rig.pending).toBeUndefined();
    rig.advance(1600);
    expect(rig.last.body).toBe(text("retry1"));
    rig.answer("");
    expect(rig.last.body).toBe(text("retry2") + text("retry3"));
    expect(rig.told).toEqual(["opened"]);
  });

  test("proxy R140: when the backend stays down, then the client is dropped after five more attempts", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    const startMs = rig.clock.nowMs();
    const waits: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      rig.fail("connection-timeout");
      const failedMs = rig.clock.nowMs();
      while (rig.pending === undefined) rig.advance(TICK_MS);
      waits.push(Math.floor((rig.clock.nowMs() - failedMs) / 1000));
      expect(rig.told).toEqual(["opened"]);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16]);
    rig.fail("connection-timeout");
    expect(rig.told).toEqual(["opened", "gone"]);
    const lastedMs = rig.clock.nowMs() - startMs;
    expect(lastedMs).toBeGreaterThanOrEqual(31_000);
    expect(lastedMs).toBeLessThanOrEqual(36_600);
  });

  test("when one attempt succeeds, then the count begins anew", () => {
    const rig = opened();
    for (let round = 0; round < 3; round += 1) {
      rig.origin.message("text", "a", false);
      for (let i = 0; i < 4; i += 1) {
        rig.fail("tls-error");
        rig.advance(1000 * 2 ** i + 1000);
      }
      rig.answer("");
    }
    expect(rig.told).toEqual(["opened"]);
    expect(rig.posts).toHaveLength(1 + 3 * 5);
  });

  test("when nobody has taken the request, then it is sent again; when somebody has, it is not", () => {
    const unheard = opened();
    unheard.origin.message("text", "a", false);
    unheard.expire();
    unheard.advance(1600);
    expect(unheard.bodies.slice(1)).toEqual([text("a"), text("a")]);

    const acknowledged = opened();
    acknowledged.origin.message("text", "a", false);
    acknowledged.acknowledge();
    acknowledged.expire();
    expect(acknowledged.told).toEqual(["opened", "gone"]);

    const lost = opened();
    lost.origin.message("text", "a", false);
    lost.fail("undefined-condition");
    expect(lost.told).toEqual(["opened", "gone"]);
  });

  test.each(["policy-violation", "bad-request", "too-many-redirects", "something-new"])(
    "when it fails by %s, then it is not sent again",
    (condition) => {
      const rig = opened();
      rig.origin.message("text", "a", false);
      rig.fail(condition);
      expect(rig.told).toEqual(["opened", "gone"]);
    },
  );

  test("when a ZeroMQ service is not there, then OPEN fails, and later requests wait for it", () => {
    const rig = new Rig({ target: { kind: "zhttp" }, isReachable: false });
    rig.origin.open();
    expect(rig.told).toEqual([]);
    rig.advance(TICK_MS);
    expect(rig.told).toEqual(["failed undefined-condition"]);
    expect(rig.posts).toEqual([]);
  });

  test("when the target answers by single packets, then these are the responses", () => {
    const rig = new Rig({ target: { kind: "zhttpreq" } });
    rig.origin.open();
    expect(rig.last.packet.maxSize).toBe(RESPONSE_MAX_BYTES);
    const reply = new Packet();
    reply.code = 200;
    reply.headers = ["Content-Type", EVENTS_TYPE];
    reply.body = OPEN;
    rig.last.isOver = true;
    rig.replies[0]?.(reply);
    expect(rig.told).toEqual(["opened"]);
    rig.origin.message("text", "a", false);
    rig.last.isOver = true;
    rig.replies[1]?.(undefined);
    expect(rig.told).toEqual(["opened", "gone"]);
  });
});

describe("given a client that goes away", () => {
  test("proxy R130: when a request is under way, then DISCONNECT follows it, and nothing is reported", () => {
    const rig = opened(["Set-Meta-A", "1"]);
    rig.origin.message("text", "a", false);
    rig.origin.message("text", "unsent", false);
    rig.origin.drop();
    expect(rig.posts).toHaveLength(2);
    expect(rig.shared.disconnects.size).toBe(1);
    rig.answer(text("late"), ["Set-Meta-A", "2"]);
    expect(rig.last.body).toBe("DISCONNECT\r\n");
    expect(header(rig.last, "meta-a")).toBe("2");
    expect(header(rig.last, "grip-sig")).toBe("sig3");
    rig.answer(text("ignored"), [], 500);
    expect(rig.told).toEqual(["opened"]);
    expect(rig.shared.disconnects.size).toBe(0);
    rig.advance(60_000);
    expect(rig.posts).toHaveLength(3);
    expect(rig.ends.size).toBe(0);
  });

  test("when nothing is under way, then DISCONNECT goes at once, without what was replayed", () => {
    const rig = opened(["Keep-Alive-Interval", "20"]);
    rig.origin.message("text", "abc", false);
    rig.answer("", ["Content-Bytes-Accepted", "1"]);
    rig.origin.drop();
    expect(rig.last.body).toBe("DISCONNECT\r\n");
    expect(header(rig.last, "content-bytes-replayed")).toBeUndefined();
  });

  test("when the backend is down, then DISCONNECT is tried as others are, and given up", () => {
    const rig = opened();
    rig.origin.drop();
    for (let i = 0; i < 6; i += 1) {
      expect(rig.pending?.body).toBe("DISCONNECT\r\n");
      rig.fail("remote-connection-failed");
      rig.advance(1000 * 2 ** i + 1000);
    }
    expect(rig.pending).toBeUndefined();
    expect(rig.shared.disconnects.size).toBe(0);
    expect(rig.told).toEqual(["opened"]);
  });

  test("when its last message waits for another attempt, then that is made before DISCONNECT", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.fail("remote-connection-failed");
    rig.origin.drop();
    expect(rig.pending).toBeUndefined();
    rig.advance(1600);
    expect(rig.last.body).toBe(text("a"));
    rig.answer("");
    expect(rig.last.body).toBe("DISCONNECT\r\n");
  });

  test.each([
    ["an error", "", 500],
    ["DISCONNECT", "DISCONNECT\r\n", 200],
    ["nonsense", "x", 200],
  ])("when the request under way is answered by %s, then no DISCONNECT follows", (_, body, code) => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.origin.drop();
    rig.answer(body, [], code);
    expect(rig.posts).toHaveLength(2);
    expect(rig.shared.disconnects.size).toBe(0);
  });

  test("when it has closed before, then the close is what the backend hears", () => {
    const rig = opened(["Keep-Alive-Interval", "20"]);
    rig.origin.message("text", "a", false);
    rig.origin.close(4001, "");
    rig.origin.drop();
    rig.answer("");
    expect(rig.last.body).toBe("CLOSE 2\r\n\x0f\xa1\r\n");
    rig.answer("");
    rig.advance(60_000);
    expect(rig.posts).toHaveLength(3);
    expect(rig.shared.disconnects.size).toBe(0);
  });

  test("when it goes away within the delivery, then the rest is left out and DISCONNECT follows once", () => {
    const rig = opened();
    rig.origin.message("text", "a", false);
    rig.onMessage = () => rig.origin.drop();
    rig.answer(text("one") + text("two"));
    expect(rig.told).toEqual(["opened", "text one"]);
    expect(rig.bodies.slice(2)).toEqual(["DISCONNECT\r\n"]);
  });

  test("when too many are going already, then it ends without a word, counted and logged", () => {
    const rig = opened();
    for (let i = 0; i < DISCONNECTS_MAX; i += 1) rig.shared.disconnects.add({ giveUp: () => {} });
    rig.origin.drop();
    expect(rig.posts).toHaveLength(1);
    expect(rig.shared.disconnects.refused).toBe(1);
    expect(rig.log.lines.at(-1)).toContain("too many backends to be told");
  });

  test("when the process stops, then it waits for the backends to be told", async () => {
    const rig = opened();
    rig.origin.drop();
    let isStopped = false;
    const stopped = rig.shared.disconnects.stop(rig.clock).then(() => {
      isStopped = true;
    });
    await Promise.resolve();
    expect(isStopped).toBe(false);
    rig.answer("");
    await stopped;
    expect(rig.shared.disconnects.size).toBe(0);
  });

  test("when a backend never answers, then the stop gives up in time and cancels the request", async () => {
    const rig = opened();
    rig.origin.drop();
    const stopped = rig.shared.disconnects.stop(rig.clock);
    rig.advance(2400);
    expect(rig.pending).toBeDefined();
    rig.advance(200);
    await stopped;
    expect(rig.pending).toBeUndefined();
    expect(rig.ends.size).toBe(0);
  });
});

/** Takes requests as a backend does that accepts a part of their content only. */
class PartialBackend {
  readonly messages: string[] = [];
  /** Accepted bytes of the event at the head, the rest of which will be sent again. */
  #begun = "";
  #replayed = 0;

  /** Takes about `share` of the request; returns what it says it has accepted. */
  take(post: Posted, share: number): number {
    const decoded = decodeWebSocketEvents(post.body);
    if (!decoded.ok) throw new Error(decoded.error);
    const events: WebSocketEvent[] = decoded.value;
    expect(Number(getHeader(post.headers, "content-bytes-replayed") ?? 0)).toBe(this.#replayed);
    const total = events.reduce((sum, one) => sum + (one.content?.length ?? 0), 0);
    const accepted = Math.round(total * share);
    let left = accepted;
    for (const { type, content = "" } of events) {
      if (content.length > left) {
        this.#begun += toByteString(content).slice(0, left);
        break;
      }
      left -= content.length;
      this.messages.push(`${type} ${this.#begun}${toByteString(content)}`);
      this.#begun = "";
    }
    this.#replayed = total - accepted;
    return accepted;
  }
}

type Step =
  | { readonly do: "message"; readonly type: "text" | "binary"; readonly content: string }
  | { readonly do: "ping"; readonly content: string }
  | { readonly do: "refresh" }
  | { readonly do: "answer"; readonly share: number }
  | { readonly do: "refuse" };

const content = fc.string({ unit: "binary", maxLength: 12 }).map(fromUtf8);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("message" as const),
    type: fc.constantFrom("text" as const, "binary" as const),
    content,
  }),
  fc.record({ do: fc.constant("ping" as const), content }),
  fc.record({ do: fc.constant("refresh" as const) }),
  fc.record({ do: fc.constant("answer" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ do: fc.constant("refuse" as const) }),
);

describe("given any run of messages, partial answers and failures", () => {
  test("when all is over, then the backend has every message once and in order", () => {
    const run = (steps: readonly Step[], cut: readonly number[]) => {
      const rig = opened();
      const backend = new PartialBackend();
      const sent: string[] = [];
      let refused = 0;
      const answer = (share: number) => {
        const { pending } = rig;
        if (pending === undefined) return;
        refused = 0;
        rig.answer("", ["Content-Bytes-Accepted", String(backend.take(pending, share))]);
      };
      for (const [i, one] of steps.entries()) {
        if (one.do === "message") {
          const at = (cut[i % cut.length] ?? 0) % (one.content.length + 1);
          rig.origin.message(one.type, one.content.slice(0, at), true);
          rig.origin.message(one.type, one.content.slice(at), false);
          sent.push(`${one.type === "text" ? "TEXT" : "BINARY"} ${one.content}`);
        } else if (one.do === "ping") {
          rig.origin.ping(one.content);
          sent.push(`PING ${one.content}`);
        } else if (one.do === "refresh") rig.origin.refresh();
        else if (one.do === "answer") answer(one.share);
        else if (rig.pending !== undefined && refused < 5) {
          refused += 1;
          rig.fail("remote-connection-failed");
          rig.advance(1000 * 2 ** (refused - 1) + 1000);
        }
      }
      for (let i = 0; i < 3 || rig.pending !== undefined; i += 1) {
        if (rig.pending === undefined) rig.origin.refresh();
        answer(1);
      }
      expect(rig.told).toEqual(["opened"]);
      expect(backend.messages).toEqual(sent);
      expect(rig.origin.queuedBytes).toBe(0);
    };
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.nat(12), { minLength: 1, maxLength: 5 }),
        run,
      ),
      { numRuns: 300 },
    );
  });
});

const body = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).map(fromUtf8),
  fc
    .array(
      fc.oneof(
        fc.constantFrom(OPEN, "DISCONNECT\r\n", "CLOSE\r\n", "TEXT 1\r\nx\r\n", "PING\r\n", "\r\n"),
        fc.constantFrom("CLOSE 2\r\n\0\0\r\n", "TEXT ff\r\nshort", "BINARY -1\r\n", "TEXT\r\n"),
        content,
      ),
      { maxLength: 6 },
    )
    .map((parts) => parts.join("")),
);
const responseHeader = fc.tuple(
  fc.constantFrom("Content-Bytes-Accepted", "Keep-Alive-Interval", "Set-Meta-A", "Set-Meta-"),
  fc.oneof(fc.constantFrom("", "0", "1", "20", "99999999999", "-1"), content),
);

describe("given any responses and any calls", () => {
  const act = fc.oneof(
    fc.record({ do: fc.constant("answer" as const), body, headers: fc.array(responseHeader) }),
    fc.record({
      do: fc.constantFrom("fail" as const),
      condition: fc.constantFrom("remote-connection-failed", "undefined-condition", "", "x"),
    }),
    fc.record({
      do: fc.constantFrom(
        ...(["message", "fragment", "ping", "close", "refresh", "drop", "wait", "expire"] as const),
      ),
    }),
  );

  test("when they come in any order, then nothing throws, the end is reported once and leaves nothing behind", () => {
    const run = (acts: readonly (typeof act extends fc.Arbitrary<infer T> ? T : never)[]) => {
      const rig = new Rig();
      rig.origin.open();
      let isDropped = false;
      let toldBefore = 0;
      for (const one of acts) {
        if (one.do === "answer") {
          if (rig.pending !== undefined) rig.answer(one.body, one.headers.flat());
        } else if (one.do === "fail") {
          if (rig.pending !== undefined) rig.fail(one.condition);
        } else if (one.do === "expire") {
          if (rig.pending !== undefined) rig.expire();
        } else if (one.do === "message") rig.origin.message("text", "m", false);
        else if (one.do === "fragment") rig.origin.message("binary", "f", true);
        else if (one.do === "ping") rig.origin.ping("");
        else if (one.do === "close") rig.origin.close(1000, "");
        else if (one.do === "refresh") rig.origin.refresh();
        else if (one.do === "wait") rig.advance(21_000);
        else {
          isDropped = true;
          toldBefore = rig.told.length;
          rig.origin.drop();
        }
        if (isDropped) expect(rig.told).toHaveLength(toldBefore);
        const ends = rig.told.filter((told) => /^(?:gone|failed|rejected)/.test(told));
        expect(ends.length).toBeLessThanOrEqual(1);
        if (ends.length === 1) {
          expect(rig.told.at(-1)).toBe(ends[0]);
          expect(rig.pending).toBeUndefined();
        }
      }
      rig.origin.drop();
      for (let i = 0; i < 8 && rig.pending !== undefined; i += 1) rig.answer("");
      rig.advance(40_000);
      for (let i = 0; i < 8 && rig.pending !== undefined; i += 1) rig.answer("");
      expect(rig.pending).toBeUndefined();
      expect(rig.ends.size).toBe(0);
      expect(rig.shared.disconnects.size).toBe(0);
    };
    fc.assert(fc.property(fc.array(act, { maxLength: 25 }), run), { numRuns: 500 });
  });
});

describe("given the event decoder", () => {
  test("when it reads any bytes, then it never throws and what it reads is in the body", () => {
    fc.assert(
      fc.property(body, fc.boolean(), (bytes, asView) => {
        const given = asView ? Buffer.from(bytes, "latin1") : bytes;
        const decoded = decodeWebSocketEvents(given);
        if (!decoded.ok) return;
        const total = decoded.value.reduce(
          (sum, one) => sum + one.type.length + (one.content?.length ?? 0),
          0,
        );
        expect(total).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 3000 },
    );
  });

  test("when a body is cut anywhere, then a view and a byte string are read alike", () => {
    const whole = `OPEN\r\nTEXT A\r\n0123456789\r\nCLOSE 2\r\n\x03\xe8\r\n`;
    for (let end = 0; end <= whole.length; end += 1) {
      const cut = whole.slice(0, end);
      const asText = decodeWebSocketEvents(cut);
      const asView = decodeWebSocketEvents(Buffer.from(cut, "latin1"));
      expect(asView.ok).toBe(asText.ok);
      if (!asText.ok || !asView.ok) continue;
      const plain = (events: readonly WebSocketEvent[]) =>
        events.map((one) => `${one.type} ${one.content === undefined ? "-" : toByteString(one.content)}`);
      expect(plain(asView.value)).toEqual(plain(asText.value));
    }
  });
});

test("given the credits of a session, then one response may be as large as a response may be", () => {
  // The HTTP client sends what it was granted; the pieces are granted again as they come.
  const rig = opened();
  rig.origin.message("text", "a", false);
  const { last } = rig;
  const piece = "x".repeat(INITIAL_CREDITS / 2);
  const bodyText = `TEXT ${(4 * piece.length).toString(16)}\r\n`;
  for (const [i, part] of [bodyText, piece, piece, piece, piece, "\r\n"].entries()) {
    const packet = new Packet();
    packet.from = "client";
    if (i === 0) Object.assign(packet, { code: 200, headers: ["Content-Type", EVENTS_TYPE] });
    packet.body = part;
    packet.more = i < 5;
    last.isOver = i === 5;
    last.end.packet(packet, i, rig.clock.nowMs());
    if (i < 5) expect(last.end.session.inCredits).toBe(INITIAL_CREDITS);
  }
  expect(rig.told.at(-1)).toBe(`text ${piece.repeat(4)}`);
});
