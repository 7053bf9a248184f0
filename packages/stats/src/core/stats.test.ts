import { describe, expect, test } from "vitest";
import { ConnectionTable } from "./connection-table.ts";
import { decodeStatsPacket, encodeStatsPacket, type StatsFields } from "./stats-packet.ts";
import { type RecorderOptions, StatsRecorder } from "./stats-recorder.ts";

describe("given captured packets of the original", () => {
  test.each([
    [
      "conn T106:4:from,19:pushpin-proxy_27198,4:type,4:http,3:ttl,3:120#2:id,13:condure:0-0-0,12:peer-address,9:127.0.0.1,}",
      "conn",
      { from: "pushpin-proxy_27198", type: "http", ttl: 120, id: "condure:0-0-0", "peer-address": "127.0.0.1" },
    ],
    [
      "conn T74:4:from,19:pushpin-proxy_27198,2:id,13:condure:0-0-0,11:unavailable,4:true!}",
      "conn",
      { from: "pushpin-proxy_27198", id: "condure:0-0-0", unavailable: true },
    ],
    [
      "activity T42:4:from,19:pushpin-proxy_27198,5:count,1:1#}",
      "activity",
      { from: "pushpin-proxy_27198", count: 1 },
    ],
    [
      "sub T94:4:mode,8:response,11:subscribers,1:1#7:channel,2:c1,3:ttl,2:60#4:from,20:pushpin-handler_4429,}",
      "sub",
      { mode: "response", subscribers: 1, channel: "c1", ttl: 60, from: "pushpin-handler_4429" },
    ],
  ])("when it is %s, then it is understood", (text, topic, fields) => {
    expect(decodeStatsPacket(Buffer.from(text, "latin1"))).toEqual({
      ok: true,
      value: { topic, fields: new Map(Object.entries(fields)) },
    });
  });

  test("when ours is written, then both formats say the same", () => {
    const fields = { from: "h", channel: "caf\u00c3\u00a9", count: 2, route: undefined };
    expect(encodeStatsPacket("message", fields, "json").toString()).toBe(
      'message J{"from":"h","channel":"café","count":2}',
    );
    const decoded = decodeStatsPacket(encodeStatsPacket("message", fields, "tnetstring"));
    expect(decoded.ok && decoded.value.fields.get("channel")).toBe("caf\u00c3\u00a9");
  });

  test.each(["", "conn", "conn J{}", "nonsense T0:}", "conn T3:abc,", "conn T9:"])(
    "when it is '%s', then it is refused",
    (text) => {
      expect(decodeStatsPacket(Buffer.from(text)).ok).toBe(false);
    },
  );
});

describe("given a recorder", () => {
  function make(options: Partial<RecorderOptions> = {}) {
    const sent: (StatsFields & { topic: string })[] = [];
    const recorder = new StatsRecorder({
      instanceId: "me",
      connectionTtlMs: 120_000,
      sendConnections: true,
      subscriptionTtlMs: 60_000,
      reportIntervalMs: 10_000,
      nowMs: 0,
      isWanted: () => true,
      publish: (topic, fields) => sent.push({ topic, ...fields }),
      ...options,
    });
    return { recorder, sent };
  }
  const connection = (id: string, unreportedMs?: number) => ({
    id,
    kind: "http" as const,
    route: "r",
    peerAddress: "1.2.3.4",
    secure: false,
    unreportedMs,
  });

  test("when a connection comes, stays and goes, then it is announced, refreshed and taken back", () => {
    const { recorder, sent } = make();
    recorder.connectionAdded(connection("a:1"), 0);
    for (let second = 1; second <= 95; second += 1) recorder.tick(second * 1000);
    recorder.connectionRemoved("a:1", 96_000);
    const conns = sent.filter((one) => one.topic === "conn");
    expect(conns.length).toBe(3);
    expect(conns[0]).toMatchObject({ id: "a:1", type: "http", ttl: 120, route: "r", from: "me" });
    expect(conns[2]).toMatchObject({ id: "a:1", unavailable: true });
  });

  test("when a connection is given away, then it lingers, and the time not counted goes along", () => {
    const { recorder, sent } = make();
    recorder.connectionAdded(connection("a:1"), 0);
    recorder.tick(70_000);
    expect(recorder.connectionGivenAway("a:1", 75_000)).toBe(15_000);
    expect(sent.some((one) => one["unavailable"] === true)).toBe(false);
    const other = make();
    other.recorder.connectionAdded(connection("a:1", 15_000), 75_000);
    expect(other.sent).toEqual([]);
    other.recorder.tick(120_000);
    expect(other.recorder.totals.minutes).toBe(1);
  });

  test("when nobody wants packets, then none are made", () => {
    const { recorder, sent } = make({ isWanted: () => false });
    recorder.connectionAdded(connection("a:1"), 0);
    recorder.subscribers("stream", "c", 1, 0);
    recorder.message("c", "1", "http-stream", 1, -1);
    recorder.tick(20_000);
    expect(sent).toEqual([]);
  });

  test("when subscribers come and go, then changes wait for a tick and the end does not", () => {
    const { recorder, sent } = make();
    recorder.subscribers("stream", "c", 1, 0);
    recorder.subscribers("stream", "c", 2, 100);
    recorder.subscribers("stream", "c", 3, 200);
    recorder.tick(1000);
    recorder.subscribers("stream", "c", 0, 1500);
    expect(sent.map((one) => one["subscribers"] ?? one["unavailable"])).toEqual([1, 3, true]);
  });

  test("when a period is over, then the route is reported, and once more when it is empty", () => {
    const { recorder, sent } = make();
    recorder.sent("r", "http-stream", 2, -1);
    recorder.count("r", "clientContentBytesSent", 10);
    for (let second = 1; second <= 40; second += 1) recorder.tick(second * 1000);
    const reports = sent.filter((one) => one.topic === "report" && one["route"] === "r");
    expect(reports.map((one) => [one["sent"], one["client-content-bytes-sent"]])).toEqual([
      [2, 10],
      [0, 0],
    ]);
    expect(reports[0]?.["duration"]).toBe(10_000);
  });

  test("when activity is counted, then it is sent by route once a flush", () => {
    const { recorder, sent } = make();
    recorder.activity("", 1);
    recorder.activity("", 1);
    recorder.requestReceived("r");
    recorder.flush();
    recorder.flush();
    expect(sent).toEqual([
      { topic: "activity", from: "me", route: undefined, count: 2 },
      { topic: "counts", from: "me", route: "r", "requests-received": 1 },
    ]);
  });

  test("when a proxy reports, then its numbers become ours, and bad ones count nothing", () => {
    const { recorder, sent } = make();
    const fields = new Map<string, string | number>([
      ["route", "r"],
      ["connections", 3],
      ["minutes", 2],
      ["client-messages-sent", -5],
      ["server-messages-sent", 4],
    ]);
    recorder.fromProxy({ topic: "report", fields });
    for (let second = 1; second <= 10; second += 1) recorder.tick(second * 1000);
    expect(sent.find((one) => one["route"] === "r")).toMatchObject({
      connections: 3,
      minutes: 2,
      "client-messages-sent": 0,
      "server-messages-sent": 4,
    });
  });
});

test("given a connection of several minutes, when seconds pass, then each minute counts once", () => {
  let minutes = 0;
  const table = new ConnectionTable(120_000, {
    present: () => {},
    ended: () => {},
    minutes: (_route, count) => {
      minutes += count;
    },
  });
  const info = { id: "a", kind: "ws" as const, route: "", peerAddress: "", secure: false };
  table.add({ ...info, unreportedMs: undefined }, 0);
  for (let second = 1; second <= 181; second += 1) table.tick(second * 1000);
  expect(minutes).toBe(4);
});
