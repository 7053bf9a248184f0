import { decodePublishMessage, parsePublishBody } from "@pushpin/grip";
import { answerControl, ControlExchange, HandlerCore } from "@pushpin/handler";
import { silentLog } from "@pushpin/log";
import { StatsRecorder } from "@pushpin/stats";
import { decode, encode } from "@pushpin/tnetstrings";
import { encodePacket, Packet } from "@pushpin/zhttp";
import { measure } from "./measure.mjs";

const NOW_MS = 1000;
const pairs = (headers) => headers.flatMap((_, i) => (i % 2 ? [] : [[headers[i], headers[i + 1]]]));

/** A handler whose packets are encoded and thrown away. */
function makeCore() {
  return new HandlerCore({
    settings: {
      instanceId: "handler-0-18f3a",
      messageRate: -1,
      messageHwm: -1,
      messageBlockSize: -1,
      messageWaitMs: 5000,
      idCacheTtlMs: 0,
      updateOnFirstSubscription: false,
      connectionSubscriptionMax: 20,
      subscriptionLingerMs: 60_000,
      recoverConcurrency: 10,
    },
    log: silentLog,
    stats: new StatsRecorder({
      instanceId: "handler",
      connectionTtlMs: 120_000,
      sendConnections: true,
      subscriptionTtlMs: 60_000,
      reportIntervalMs: 10_000,
      nowMs: NOW_MS,
      isWanted: () => false,
      publish: () => {},
    }),
    random: Math.random,
    firstControlSeq: 0,
    nowMs: NOW_MS,
    outputs: {
      toClient: (_to, packet) => encodePacket(packet),
      retry: () => {},
      keepsAnchors: () => true,
      wsControl: () => {},
      requestFirst: () => {},
      isProxyThere: () => true,
      proxyDepartures: () => 0,
      requestFollowUp: () => {},
      subscribe: () => {},
      unsubscribe: () => {},
      storeLastIds: () => {},
      storeSession: () => {},
    },
  });
}

function hold(core, id, channel) {
  const request = { method: "GET", uri: "http://h/path", headers: pairs(["Host", "h"]), body: "" };
  const args = decode(
    encode({
      requests: [
        {
          rid: { sender: "connmgr-0-18f3a", id },
          "in-seq": 1,
          "out-seq": 2,
          "out-credits": 2 ** 50,
          "peer-address": "127.0.0.1",
        },
      ],
      "request-data": request,
      "orig-request-data": request,
      response: {
        code: 200,
        reason: "OK",
        headers: pairs(["Grip-Hold", "stream", "Grip-Channel", channel]),
        body: "",
      },
      route: "*,*,*,*",
      trusted: true,
    }),
  );
  const reply = core.accept(args.value, "proxy", NOW_MS);
  if (!reply.success) throw new Error(JSON.stringify(reply));
}

// Sessions get their mark for id lists as the connection manager gives it.
function credit(core, id) {
  core.clientPacket(
    Object.assign(new Packet(), {
      from: "connmgr-0-18f3a",
      id,
      seq: 1,
      type: "credit",
      credits: 1,
      multi: true,
    }),
    NOW_MS,
  );
}

const content = `${"x".repeat(63)}\n`;
const itemOf = (channel) => ({ channel, formats: { "http-stream": { content } } });

const many = makeCore();
const COUNT = 10_000;
for (let i = 0; i < COUNT; i += 1) {
  hold(many, `0-${i}-c`, `channel-${i}`);
  credit(many, `0-${i}-c`);
}
const bodies = Array.from({ length: COUNT }, (_, i) =>
  Buffer.from(JSON.stringify({ items: [itemOf(`channel-${i}`)] })),
);
const frames = Array.from({ length: COUNT }, (_, i) =>
  Buffer.concat([Buffer.from("T"), encode(itemOf(`channel-${i}`))]),
);
let next = 0;
const pick = (list) => list[(next = (next + 7919) % COUNT)];

measure("parse: body of POST /publish/", () => parsePublishBody(pick(bodies)));
measure("parse: frame of the PULL socket", () => decodePublishMessage(pick(frames)));
const head = "POST /publish/ HTTP/1.1\r\nHost: localhost:5561\r\nContent-Type: application/json\r\n";
const requests = bodies.map((body) =>
  Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), body]),
);
const target = { publish: (_items, done) => done(), publishWithReceipts: () => {}, recover: () => {} };
measure("control port: request in, answer out", () => {
  const exchange = new ControlExchange({ headerMaxBytes: 10_000, bodyMaxBytes: 1_000_000 });
  const answer = answerControl(exchange.receive(pick(requests)).request, target);
  answer.later((response) => exchange.respond(response));
});
const items = bodies.map((body) => parsePublishBody(body).value);
measure(`publish: one of ${COUNT} channels, one subscriber`, () => many.publish(pick(items), NOW_MS));
const nobody = parsePublishBody(Buffer.from(JSON.stringify({ items: [itemOf("nobody")] }))).value;
measure("publish: nobody listens", () => many.publish(nobody, NOW_MS));
for (const subscribers of [100, 1000, 10_000]) {
  const core = makeCore();
  for (let i = 0; i < subscribers; i += 1) {
    hold(core, `0-${i}-c`, "one");
    credit(core, `0-${i}-c`);
  }
  const one = parsePublishBody(Buffer.from(JSON.stringify({ items: [itemOf("one")] }))).value;
  measure(`publish: ${subscribers} subscribers`, () => core.publish(one, NOW_MS));
}
