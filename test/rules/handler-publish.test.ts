import { decodePublishMessage, parsePublishBody, renderMessageId } from "@pushpin/grip";
import { answerControl, type CommandTarget, runCommand } from "@pushpin/handler";
import { encode, type TnetInput, type TnetMap } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { HandlerRig } from "./handler-rig.ts";

const TEXT = ["Content-Type", "text/plain"];
const STREAM = [...TEXT, "Grip-Hold", "stream", "Grip-Channel", "c"];
const POLL = [...TEXT, "Grip-Hold", "response", "Grip-Channel", "c"];

describe("given a WebSocket that speaks GRIP", () => {
  function socket(settings = {}) {
    const rig = new HandlerRig(settings);
    rig.here("w");
    rig.grip("w", { type: "subscribe", channel: "c" });
    return rig;
  }
  const item = (rig: HandlerRig, value: object, channel = "c") =>
    rig.send(channel, "ws-message", value);

  test("handler R92, R93: when items of all types come, then each is sent as what it is", () => {
    const rig = socket();
    item(rig, { content: "plain" });
    item(rig, { "content-bin": "AAEC" });
    item(rig, { type: "binary", content: "b" });
    item(rig, { type: "text", "content-bin": "aGk=" });
    item(rig, { type: "ping", content: "p" });
    item(rig, { type: "pong", content: "q" });
    expect(
      rig.commands("w", "send").map((one) => [one.contentType, String(one.message ?? "")]),
    ).toEqual([
      ["text", "plain"],
      ["binary", "\u0000\u0001\u0002"],
      ["binary", "b"],
      ["text", "hi"],
      ["ping", "p"],
      ["pong", "q"],
    ]);
  });

  test("handler R97: when there are more subscriptions than allowed, then the first ones count", () => {
    const rig = new HandlerRig({ connectionSubscriptionMax: 3 });
    rig.here("w");
    for (const channel of ["a", "b", "c", "d"]) rig.grip("w", { type: "subscribe", channel });
    for (const channel of ["a", "b", "c", "d"]) item(rig, { content: channel }, channel);
    expect(rig.sent("w")).toEqual(["a", "b", "c"]);
  });

  test("handler R98, R99: when an item closes, then code and reason go to the proxy, 1000 by default", () => {
    const first = socket();
    item(first, { action: "close", code: 4001, reason: "bye" });
    expect(first.commands("w", "close")).toMatchObject([{ code: 4001, reason: "bye" }]);
    const second = socket();
    item(second, { action: "close" });
    expect(second.commands("w", "close")).toMatchObject([{ code: 1000 }]);
  });

  test("handler R100: when the backend detaches, then items arrive all the same", () => {
    const rig = socket();
    rig.grip("w", { type: "detach" });
    expect(rig.commands("w", "detach").length).toBe(1);
    item(rig, { content: "x" });
    expect(rig.sent("w")).toEqual(["x"]);
  });

  test("handler R101: when a subscription is the route's, then it cannot be ended", () => {
    const rig = new HandlerRig();
    rig.here("w");
    rig.ws({ cid: "w", type: "subscribe", channel: "x", reqId: "1" });
    rig.grip("w", { type: "unsubscribe", channel: "x" });
    item(rig, { content: "still" }, "x");
    expect(rig.sent("w")).toEqual(["still"]);
  });

  test("handler R102: when a keep-alive is set up, then the proxy's timer asks for its content", () => {
    const rig = socket();
    rig.grip("w", { type: "keep-alive", timeout: 2, "message-type": "ping", "content-bin": "cA==", mode: "interval" }); // prettier-ignore
    expect(rig.commands("w", "keep-alive-setup")).toMatchObject([
      { timeout: 2, keepAliveMode: "interval" },
    ]);
    rig.ws({ cid: "w", type: "need-keep-alive" });
    expect(rig.commands("w", "send")).toMatchObject([{ contentType: "ping", message: "p" }]);
  });

  test("handler R103: when a second message is delayed, then the first goes at once", () => {
    const rig = socket();
    rig.grip("w", { type: "send-delayed", content: "d1", timeout: 1 });
    rig.advance(500);
    rig.grip("w", { type: "send-delayed", content: "d2", timeout: 1 });
    expect(rig.sent("w")).toEqual(["d1"]);
    rig.advance(1100);
    expect(rig.sent("w")).toEqual(["d1", "d2"]);
    expect(rig.commands("w", "send").every((one) => one.queue === true)).toBe(true);
  });

  test("handler R104: when meta is set and removed, then templates follow it", () => {
    const rig = new HandlerRig();
    rig.here("w");
    rig.grip("w", { type: "set-meta", name: "user", value: "bob" });
    rig.grip("w", { type: "subscribe", channel: "c", filters: ["var-subst"] });
    item(rig, { content: "hi %(user)s" });
    rig.grip("w", { type: "set-meta", name: "user" });
    item(rig, { content: "hi %(user)s" });
    expect(rig.sent("w")).toEqual(["hi bob"]);
  });

  test("handler R105: when a control message is malformed, then it is acknowledged and the socket stays", () => {
    const rig = socket();
    rig.grip("w", "{bad");
    expect(rig.commands("w", "ack").length).toBe(3);
    rig.advance(10_000);
    item(rig, { content: "x" });
    expect(rig.sent("w")).toEqual(["x"]);
    expect(rig.commands("w", "cancel")).toEqual([]);
  });

  test("handler R106: when an item or a command refreshes, then the proxy is told", () => {
    const rig = socket();
    item(rig, { action: "refresh" });
    expect(rig.commands("w", "refresh").length).toBe(1);
    expect(rig.core.refreshChannel("c")).toEqual(["w"]);
  });

  test("when nothing is heard of it for its time to live, then it is forgotten", () => {
    const rig = socket();
    rig.advance(61_000);
    expect(rig.core.knows("w")).toBe(false);
    rig.grip("w", { type: "subscribe", channel: "c" });
    expect(rig.commands("w", "cancel").length).toBe(1);
  });

  test("when its proxies die one after the other, then it is known as long as there is one now and then", () => {
    const rig = new HandlerRig();
    const here = { cid: "w", type: "here", uri: "ws://h/", ttl: 60, anchors: true } as const;
    rig.wsFrom("proxy-0-a", here);
    rig.wsFrom("proxy-0-a", { cid: "w", type: "grip", message: '{"type":"subscribe","channel":"c"}' });
    rig.advance(110_000); // nobody is there to refresh it
    item(rig, { content: "1" });
    rig.wsFrom("proxy-0-b", here);
    rig.advance(110_000);
    item(rig, { content: "2" });
    rig.wsFrom("proxy-0-c", here);
    const last = rig.control.filter(({ to, type }) => to === "proxy-0-c" && type === "send");
    expect(last.map(({ message }) => message)).toContain("2");
    rig.advance(121_000);
    expect(rig.core.knows("w")).toBe(false);
  });
});

describe("given the control port", () => {
  const target = {
    published: [] as unknown[],
    publish(items: readonly unknown[], confirmed?: () => void) {
      this.published.push(...items);
      confirmed?.();
    },
    publishWithReceipts: () => {},
    recover: () => {},
    readiness: () => {},
  };
  const ask = (method: string, path: string, body = "", headers: readonly string[] = []) => {
    const answer = answerControl({ method, target: path, minorVersion: 1, headers, body }, target);
    if ("response" in answer) {
      answer.run?.();
      return answer.response;
    }
    const answers: Parameters<Parameters<typeof answer.later>[0]>[0][] = [];
    answer.later((one) => answers.push(one));
    const [response] = answers;
    if (response === undefined) throw new Error("no answer yet");
    return response;
  };
  const VALID = '{"items":[{"channel":"c","formats":{"http-stream":{"content":"x"}}}]}';

  test("handler R108: when JSON is asked for, then the answer is JSON", () => {
    const { body } = ask("POST", "/publish/", VALID, ["Accept", "application/json"]);
    expect(body).toBe('{"message":"Published"}\n');
    expect(body.length).toBe(24);
  });

  test("handler R110: when there is a query, then there is no such page", () => {
    expect(ask("POST", "/publish?a=b", VALID)).toMatchObject({ code: 404, body: "Not Found\n" });
  });

  test("handler R113: when one item of two is bad, then none is published", () => {
    const before = target.published.length;
    const body = VALID.replace("]}", ',{"channel":"c"}]}');
    expect(ask("POST", "/publish/", body)).toMatchObject({
      code: 400,
      body: "Invalid format: no formats specified\n",
    });
    expect(target.published.length).toBe(before);
  });

  test.each([
    ['{"channel":"c","id":5,"formats":{"http-stream":{"content":"x"}}}', "Invalid format: publish item object contains 'id' with wrong type"],
    ['{"channel":"c","id":null,"formats":{"http-stream":{"content":"x"}}}', "Invalid format: publish item object contains 'id' with wrong type"],
  ])("handler R114: when an item is %s, then the fault is named", (one, words) => {
    expect(ask("POST", "/publish/", `{"items":[${one}]}`).body).toBe(`${words}\n`);
  });

  test("handler R115: when an action is unknown, then the item is refused with a reason", () => {
    // The original says nothing at all behind the colon.
    const one = '{"channel":"c","formats":{"http-stream":{"action":"foo"}}}';
    expect(ask("POST", "/publish/", `{"items":[${one}]}`)).toMatchObject({ code: 400 });
  });

  test("handler R116: when a format is unknown, then it is passed over", () => {
    const one = '{"channel":"c","formats":{"foo":{}}}';
    expect(ask("POST", "/publish/", `{"items":[${one}]}`).code).toBe(200);
  });

  test("when 200,000 mutated bodies and messages come, then each is an item or a refusal", () => {
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };
    const item = { channel: "c", id: "1", formats: { "http-stream": { content: "x" } } };
    const frames = [
      Buffer.from(VALID),
      Buffer.concat([Buffer.from("T"), encode(item)]),
      Buffer.from(`J${JSON.stringify(item)}`),
      encode(item),
    ];
    let taken = 0;
    let unexplained = 0;
    for (let i = 0; i < 200_000; i += 1) {
      const frame = Buffer.from(frames[i % frames.length] as Buffer);
      for (let n = Math.floor(random() * 4); n >= 0; n -= 1)
        frame[Math.floor(random() * frame.length)] = Math.floor(random() * 256);
      const cut = random() < 0.2 ? frame.subarray(0, Math.floor(random() * frame.length)) : frame;
      const parsed = i % 4 === 0 ? parsePublishBody(cut.toString("latin1")) : decodePublishMessage(cut);
      if (parsed.ok) taken += parsed.value.length;
      else if (parsed.error === "") unexplained += 1;
    }
    expect(unexplained).toBe(0);
    expect(taken).toBeGreaterThan(1000);
    expect(taken).toBeLessThan(200_000);
  }, 60_000);
});

describe("given messages over ZeroMQ", () => {
  const item = { channel: "c", formats: { "http-stream": { content: "x" } } };
  const flat = { channel: "c", "http-stream": { content: "x" } };

  test.each([
    ["bare tnetstring", encode(item)],
    ["T", Buffer.concat([Buffer.from("T"), encode(item)])],
    ["J", Buffer.from(`J${JSON.stringify(item)}`)],
    ["flat", encode(flat)],
  ])("handler R117: when it is %s, then it is an item", (_what, frame) => {
    expect(decodePublishMessage(frame)).toMatchObject({ ok: true, value: [{ channel: "c" }] });
  });

  test.each([
    ["bare JSON", Buffer.from(JSON.stringify(item))],
    ["an items wrapper", encode({ items: [item] })],
    ["body-bin in a tnetstring", encode({ channel: "c", formats: { "http-response": { "body-bin": "x" } } })],
  ])("handler R118: when it is %s, then it is refused", (_what, frame) => {
    expect(decodePublishMessage(frame).ok).toBe(false);
  });

  test("handler R119: when subscribers come and go, then the SUB socket follows, for polls after a while", () => {
    const rig = new HandlerRig({ subscriptionLingerMs: 3000 });
    const stream = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "s"]);
    const poll = rig.hold(POLL);
    expect(rig.subscriptions).toEqual(["+s", "+c"]);
    rig.disconnect(stream);
    rig.disconnect(poll);
    expect(rig.subscriptions).toEqual(["+s", "+c", "-s"]);
    rig.advance(4200);
    expect(rig.subscriptions).toEqual(["+s", "+c", "-s", "-c"]);
  });

  test("handler R120: when the first part names the channel, then that in the item does not count", () => {
    const frame = Buffer.from(`J${JSON.stringify({ ...item, channel: "other" })}`);
    expect(decodePublishMessage(frame, "c")).toMatchObject({ ok: true, value: [{ channel: "c" }] });
  });
});

describe("given the command socket", () => {
  const asked: string[] = [];
  const target: CommandTarget = {
    publish: () => {},
    publishWithReceipts: () => {},
    recover: () => {},
    knows: (id) => id === "mine",
    refreshChannel: () => [],
    askProxy: (method, _args, done) => {
      asked.push(method);
      done({ success: true, value: ["theirs"] });
    },
    uris: { command: "tcp://x", publishPull: undefined, publishSub: undefined },
  };
  const run = (method: string, args: Record<string, TnetInput>) => {
    let reply: unknown;
    const map = new Map(Object.entries(args)) as unknown as TnetMap;
    runCommand(target, method, map, (one) => {
      reply = one;
    });
    return reply;
  };

  test("handler R121: when connections are looked for, then those that exist are named", () => {
    expect(run("conncheck", { ids: ["mine", "theirs", "nobody's"] })).toEqual({
      success: true,
      value: ["mine", "theirs"],
    });
    expect(asked).toEqual(["conncheck"]);
  });

  test("handler R122: when a method is unknown, then that is said", () => {
    expect(run("nonsense", {})).toEqual({ success: false, condition: "method-not-found" });
  });
});

describe("given items with ids", () => {
  const streaming = (settings = {}) => {
    const rig = new HandlerRig(settings);
    return { rig, client: rig.hold(STREAM) };
  };
  const put = (rig: HandlerRig, id: string, prev?: string, more = {}) =>
    rig.stream("c", id, { id, ...(prev === undefined ? {} : { "prev-id": prev }), ...more });

  test("handler R123: when they come in the wrong order, then they wait for each other", () => {
    const { rig, client } = streaming();
    put(rig, "a");
    put(rig, "d", "c");
    put(rig, "c", "b");
    expect(client.body).toBe("a");
    put(rig, "b", "a");
    expect(client.body).toBe("abcd");
  });

  test("handler R124, R125: when one never comes, then the others wait for so long, and no longer", () => {
    const { rig, client } = streaming({ messageWaitMs: 3000 });
    put(rig, "a");
    put(rig, "d", "c");
    put(rig, "e", "d");
    rig.advance(2900);
    expect(client.body).toBe("a");
    rig.advance(1200);
    expect(client.body).toBe("ade");
    put(rig, "b", "a");
    expect(client.body).toBe("ade");
    rig.advance(4100);
    expect(client.body).toBe("adeb");
    put(rig, "f", "e");
    expect(client.body).toBe("adeb");
    rig.advance(4100);
    expect(client.body).toBe("adebf");
  });

  test("handler R126: when two wait for the same, then the first gets its place", () => {
    const { rig, client } = streaming();
    put(rig, "a");
    put(rig, "c", "b");
    put(rig, "x", "b");
    put(rig, "b", "a");
    expect(client.body).toBe("abc");
  });

  test("handler R127: when an id comes twice, then the second is dropped", () => {
    const rig = new HandlerRig();
    put(rig, "early");
    const client = rig.hold(STREAM);
    put(rig, "early");
    put(rig, "a");
    put(rig, "a");
    expect(client.body).toBe("a");
  });

  test("handler R128: when an item is not to be ordered, then it goes at once and changes nothing", () => {
    const { rig, client } = streaming();
    put(rig, "a");
    put(rig, "z", "nonsense", { "no-seq": true });
    put(rig, "b", "a");
    expect(client.body).toBe("azb");
  });

  test("handler R129: when an item has no id, then what follows it is not known", () => {
    const { rig, client } = streaming();
    put(rig, "a");
    rig.stream("c", "-");
    put(rig, "q", "unknown");
    expect(client.body).toBe("a-q");
  });

  test("handler R134: when items alternate between channels, then their order stays", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "x, y"]);
    const items = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, "0"));
    for (const [i, text] of items.entries()) rig.stream(i % 2 === 0 ? "x" : "y", text);
    expect(client.body).toBe(items.join(""));
  });

  test("when publishes, subscriptions and duplicates mix on 50 channels, then each gets what a naive model says", () => {
    let seed = 11;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    for (let round = 0; round < 20; round += 1) {
      const rig = new HandlerRig({ messageWaitMs: 60_000 });
      const model = new Map<ReturnType<HandlerRig["hold"]>, { channel: number; body: string }>();
      const lastId = new Map<number, string>();
      const seen = new Set<string>();
      for (let step = 0; step < 400; step += 1) {
        const channel = random(50);
        const action = random(10);
        if (action < 3) {
          const client = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", `k${channel}`]);
          model.set(client, { channel, body: "" });
        } else if (action === 3 && model.size > 0) {
          const [client] = [...model.keys()].slice(random(model.size));
          if (client === undefined) continue;
          const gone = model.get(client)?.channel ?? 0;
          rig.disconnect(client);
          expect(client.body).toBe(model.get(client)?.body);
          model.delete(client);
          // Nobody listens any more: the order of the channel begins anew.
          if (![...model.values()].some((one) => one.channel === gone)) lastId.delete(gone);
        } else {
          const isRepeat = action === 4 && seen.size > 0;
          const id = isRepeat ? ([...seen][random(seen.size)] as string) : `${round}-${step}`;
          const at = isRepeat ? Number(id.split("@")[1] ?? channel) : channel;
          const key = `${id.split("@")[0]}@${at}`;
          const isListened = [...model.values()].some((one) => one.channel === at);
          const prev = lastId.get(at);
          rig.stream(`k${at}`, `<${key}>`, {
            id: key,
            ...(prev === undefined || !isListened ? {} : { "prev-id": prev }),
          });
          if (seen.has(key)) continue;
          seen.add(key);
          if (!isListened) continue;
          lastId.set(at, key);
          for (const one of model.values()) if (one.channel === at) one.body += `<${key}>`;
        }
      }
      for (const [client, { body }] of model) expect(client.body).toBe(body);
    }
  }, 60_000);
});

describe("given limits and statistics", () => {
  test("handler R130: when deliveries are limited, then they are spread, and what is too much is dropped", () => {
    const rig = new HandlerRig({ messageRate: 100, messageHwm: 50 });
    rig.accept({ headers: STREAM, clients: 100 });
    rig.stream("c", "x");
    const got = () => [...rig.clients.values()].filter((one) => one.body === "x").length;
    rig.advance(100);
    expect(got()).toBeGreaterThan(5);
    expect(got()).toBeLessThan(20);
    rig.advance(3000);
    expect(got()).toBe(50);
    expect(rig.stats.find((one) => one.topic === "message")).toMatchObject({ count: 100 });
  });

  test.each([
    [{}, 6],
    [{ size: 100 }, 20],
    [{ size: 0 }, 0],
  ])("handler R131: when blocks are counted and the item says %j, then there are %i", (more, blocks) => {
    const rig = new HandlerRig({ messageBlockSize: 10 });
    rig.accept({ headers: STREAM, clients: 2 });
    rig.stream("c", "x".repeat(25), more);
    expect(rig.stats.find((one) => one.topic === "message")).toMatchObject({ blocks });
  });

  test("handler R132, R133: when a poll is subscribed and answered, then its end is told after the linger", () => {
    const rig = new HandlerRig({ subscriptionLingerMs: 3000 });
    rig.hold(POLL);
    rig.send("c", "http-response", { body: "x" });
    const subs = () => rig.stats.filter((one) => one.topic === "sub");
    expect(subs()).toMatchObject([{ mode: "response", channel: "c", subscribers: 1, ttl: 60 }]);
    rig.advance(2900);
    expect(subs().length).toBe(1);
    rig.advance(1300);
    expect(subs()[1]).toMatchObject({ mode: "response", channel: "c", unavailable: true });
  });
});

describe("given publishers who want to know more than the original says", () => {
  const item = (channel: string, content: string, more = {}) => ({
    channel,
    formats: { "http-stream": { content }, "ws-message": { content } },
    ...more,
  });
  const receipts = (rig: HandlerRig, ...items: object[]) => {
    const parsed = parsePublishBody(JSON.stringify({ items }));
    if (!parsed.ok) throw new Error(parsed.error);
    let counts: object[] | undefined;
    rig.core.publishWithReceipts(parsed.value, rig.nowMs, (all) => {
      counts = all.map(({ receivers, delivered, filtered, dropped, pending, isTaken }) => ({
        receivers,
        delivered,
        filtered,
        dropped,
        pending,
        isTaken,
      }));
    });
    return () => counts;
  };

  test("when a receipt is asked for, then receivers, deliveries and what was filtered are counted", () => {
    const rig = new HandlerRig();
    rig.accept({ headers: STREAM, clients: 2 });
    rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "c; filter=skip-self", "Grip-Set-Meta", "user=me"]); // prettier-ignore
    rig.here("w");
    rig.grip("w", { type: "subscribe", channel: "c" });
    const counts = receipts(rig, item("c", "x", { meta: { sender: "me" } }), item("nobody", "x"));
    expect(counts()).toEqual([
      { receivers: 4, delivered: 3, filtered: 1, dropped: 0, pending: 0, isTaken: true },
      { receivers: 0, delivered: 0, filtered: 0, dropped: 0, pending: 0, isTaken: true },
    ]);
  });

  test("when an item waits for another, then the receipt says so after a second", () => {
    const rig = new HandlerRig();
    rig.hold(STREAM);
    rig.stream("c", "a", { id: "a" });
    const counts = receipts(rig, item("c", "c", { id: "c", "prev-id": "b" }));
    expect(counts()).toBeUndefined();
    rig.advance(1100);
    expect(counts()).toMatchObject([{ receivers: 0, isTaken: false }]);
  });

  test("when an item names several channels, then it goes to each of them", () => {
    const rig = new HandlerRig();
    const one = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "a"]);
    const other = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "b"]);
    rig.publish({ channels: ["a", "b"], formats: { "http-stream": { content: "x" } } });
    expect([one.body, other.body]).toEqual(["x", "x"]);
    for (const channels of [[], "a", [1]])
      expect(
        parsePublishBody(JSON.stringify({ items: [{ channels, formats: { "http-stream": { content: "x" } } }] })).ok,
      ).toBe(false);
  });

  test("when an item is for one connection, then it alone is written to or closed", () => {
    const rig = new HandlerRig();
    const { clients } = rig.accept({ headers: STREAM, clients: 2 });
    rig.here("w");
    const [first, second] = clients;
    const to = (connection: string, formats: object) => rig.publish({ connection, formats });
    to(`cm:${first?.id}`, { "http-stream": { content: "for you" } });
    to(`cm:${second?.id}`, { "http-stream": { action: "close" } });
    to("w", { "ws-message": { action: "close", code: 4000, reason: "out" } });
    to("nobody", { "http-stream": { content: "x" } });
    expect(first?.body).toBe("for you");
    expect(second?.end).toBe("complete");
    expect(rig.commands("w", "close")).toMatchObject([{ code: 4000, reason: "out" }]);
  });
});

test("handler R84, R85: given an id format, when it is rendered, then names with brackets and escapes are found", () => {
  const meta = new Map([["id_format", "%(food\\\\fruit(type\\))s"]]);
  const rendered = renderMessageId(meta, new Map([["food\\fruit(type)", "apples"]]));
  expect(rendered).toEqual({ ok: true, value: "apples" });
});

test("given many subscriptions, when all are gone, then nothing of them is left", () => {
  const rig = new HandlerRig({ subscriptionLingerMs: 0 });
  const { clients } = rig.accept({
    headers: [...TEXT, "Grip-Hold", "stream", "Grip-Channel", "a, b, c, d, e"],
    clients: 2000,
  });
  expect(rig.core.holds).toBe(2000);
  for (const client of clients) rig.disconnect(client);
  expect(rig.core.holds).toBe(0);
  expect(rig.subscriptions.filter((one) => one.startsWith("+")).length).toBe(5);
  expect(rig.subscriptions.filter((one) => one.startsWith("-")).length).toBe(5);
});

