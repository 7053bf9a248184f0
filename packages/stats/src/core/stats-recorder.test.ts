import { ManualClock } from "@pushpin/clock";
import type { Tnet } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { LINGER_MS } from "./connection-table.ts";
import type { StatsFields, StatsTopic } from "./stats-packet.ts";
import { type RecorderOptions, REPORTED_ROUTES_MAX, StatsRecorder } from "./stats-recorder.ts";

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
    const other = make({ announceTakenOver: false });
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
    recorder.fromProxy({ topic: "report", fields }, 0);
    for (let second = 1; second <= 10; second += 1) recorder.tick(second * 1000);
    expect(sent.find((one) => one["route"] === "r")).toMatchObject({
      connections: 3,
      minutes: 2,
      "client-messages-sent": 0,
      "server-messages-sent": 4,
    });
  });
});

/** A recorder whose seconds pass as the shell lets them. */
function running(options: Partial<RecorderOptions> = {}) {
  const clock = new ManualClock();
  const sent: (StatsFields & { topic: string })[] = [];
  const recorder = new StatsRecorder({
    instanceId: "handler",
    connectionTtlMs: 120_000,
    sendConnections: true,
    subscriptionTtlMs: 60_000,
    reportIntervalMs: 10_000,
    nowMs: clock.nowMs(),
    isWanted: () => true,
    publish: (topic, fields) => sent.push({ topic, ...fields }),
    ...options,
  });
  const wait = (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      clock.advance(1000);
      recorder.tick(clock.nowMs());
    }
  };
  const add = (id: string, unreportedMs?: number) =>
    recorder.connectionAdded(
      { id, kind: "http", route: "r", peerAddress: "", secure: true, unreportedMs },
      clock.nowMs(),
    );
  const fromProxy = (topic: StatsTopic, fields: Record<string, Tnet>) =>
    recorder.fromProxy({ topic, fields: new Map(Object.entries(fields)) }, clock.nowMs());
  const shown = (topic: StatsTopic) => sent.filter((one) => one.topic === topic);
  return { clock, recorder, wait, add, fromProxy, shown };
}

describe("given a connection that was given away", () => {
  test("when the new owner does not want it, then its end is told by the old one", () => {
    const { clock, recorder, add, shown } = running();
    add("a:1");
    recorder.connectionGivenAway("a:1", clock.nowMs());
    recorder.connectionRemoved("a:1", clock.nowMs());
    expect(shown("conn").map((one) => one["unavailable"])).toEqual([undefined, undefined, true]);
  });

  test("when the new owner keeps it, then the old one never speaks of it again", () => {
    const { clock, recorder, wait, add, shown } = running();
    add("a:1");
    recorder.connectionGivenAway("a:1", clock.nowMs());
    expect(shown("conn").length).toBe(2);
    wait(LINGER_MS / 1000 + 300);
    recorder.connectionRemoved("a:1", clock.nowMs());
    expect(shown("conn").length).toBe(2);
  });

  test("when it comes back, then it is one connection, and its minutes go on where they were", () => {
    const { clock, recorder, wait, add, shown } = running();
    add("a:1");
    wait(40);
    const unreportedMs = recorder.connectionGivenAway("a:1", clock.nowMs());
    expect(unreportedMs).toBe(40_000);
    add("a:1", unreportedMs);
    wait(20);
    expect(recorder.totals.minutes).toBe(2);
    expect(recorder.connectionsNow).toBe(1);
    // proxy 7.2: a retry is announced, as anything that begins.
    expect(shown("conn").length).toBe(3);
  });

  test("when it was counted, then the period's maximum keeps it and the next has none", () => {
    const { clock, recorder, wait, add, shown } = running();
    add("a:1");
    recorder.connectionGivenAway("a:1", clock.nowMs());
    recorder.connectionRemoved("a:1", clock.nowMs());
    wait(20);
    expect(
      shown("report")
        .filter((one) => one["route"] === "r")
        .map((one) => one["connections"]),
    ).toEqual([1, 0]);
  });
});

describe("given proxies that report", () => {
  const connections = (rig: ReturnType<typeof running>) =>
    rig
      .shown("report")
      .filter((one) => one["route"] === "r")
      .map((one) => one["connections"]);

  test("when there are several, then their connections are added to ours", () => {
    const rig = running();
    rig.add("a:1");
    rig.fromProxy("report", { from: "p0", route: "r", connections: 3, duration: 10_000 });
    rig.fromProxy("report", { from: "p1", route: "r", connections: 4, duration: 10_000 });
    rig.fromProxy("report", { from: "p1", route: "r", connections: 5, duration: 10_000 });
    rig.wait(10);
    expect(connections(rig)).toEqual([9]);
  });

  test("when a report is late, then the one before still holds, also for scraping", () => {
    const rig = running();
    rig.fromProxy("report", { from: "p0", route: "r", connections: 3, duration: 10_000 });
    rig.wait(15);
    expect(rig.recorder.connectionsNow).toBe(3);
    rig.wait(5);
    expect(connections(rig)).toEqual([3, 3]);
  });

  test("when a proxy is silent for good, then its connections are gone, and so is the route", () => {
    const rig = running();
    rig.fromProxy("report", { from: "p0", route: "r", connections: 3, duration: 10_000 });
    rig.wait(80);
    expect(connections(rig)).toEqual([3, 3, 0]);
    expect(rig.recorder.connectionsNow).toBe(0);
  });

  test("when one says it has none, then it has none", () => {
    const rig = running();
    rig.fromProxy("report", { from: "p0", route: "r", connections: 3 });
    rig.fromProxy("report", { from: "p0", route: "r", connections: 0 });
    expect(rig.recorder.connectionsNow).toBe(0);
  });

  test("when one sends maxima in place of connections, then they hold for their time", () => {
    const rig = running({ sendConnections: false });
    rig.fromProxy("conn-max", { from: "p0", route: "r", max: 7, ttl: 60, "retry-seq": 3 });
    rig.wait(59);
    expect(rig.recorder.connectionsNow).toBe(7);
    rig.wait(1);
    expect(rig.recorder.connectionsNow).toBe(0);
  });

  test("when we are such a proxy, then each route's maximum is told", () => {
    const { recorder, clock, add } = running({ sendConnections: false });
    add("a:1");
    add("a:2");
    recorder.connectionRemoved("a:1", clock.nowMs());
    expect(recorder.connectionMaxima()).toEqual([{ from: "handler", route: "r", max: 2, ttl: 60 }]);
  });
});

describe("given connections of a proxy", () => {
  const conn = {
    from: "p0",
    id: "a:1",
    type: "ws",
    ttl: 120,
    ssl: true,
    "peer-address": "1.2.3.4",
  };

  test("when one is announced and ends, then it is passed on as ours", () => {
    const { fromProxy, shown } = running();
    fromProxy("conn", { ...conn, route: "r", other: new Map() });
    fromProxy("conn", { from: "p0", id: "a:1", route: "r", unavailable: true });
    expect(shown("conn")).toEqual([
      { topic: "conn", ...conn, from: "handler", route: "r" },
      { topic: "conn", from: "handler", route: "r", id: "a:1", unavailable: true },
    ]);
  });

  test("when we have taken it over, then only we tell its end", () => {
    const { add, fromProxy, shown } = running({ announceTakenOver: false });
    add("a:1", 0);
    fromProxy("conn", conn);
    fromProxy("conn", { from: "p0", id: "a:1", unavailable: true });
    expect(shown("conn").map((one) => one["unavailable"])).toEqual([undefined]);
  });

  test.each([{ sendConnections: false }, { isWanted: () => false }])(
    "when %j, then none is passed on",
    (options) => {
      const { fromProxy, shown } = running(options);
      fromProxy("conn", conn);
      expect(shown("conn")).toEqual([]);
    },
  );

  test("when a packet has no id, then it is dropped", () => {
    const { fromProxy, shown } = running();
    fromProxy("conn", { from: "p0", type: "ws", id: 5 });
    expect(shown("conn")).toEqual([]);
  });
});

describe("given reports that are switched off", () => {
  test("when things happen, then nothing is reported, summed or remembered by route", () => {
    const { recorder, wait, add, fromProxy, shown } = running({ reportIntervalMs: 0 });
    add("a:1");
    recorder.requestReceived("r");
    recorder.received(-1);
    recorder.sent("r", "http-stream", 1, -1);
    fromProxy("report", { from: "p0", route: "r", connections: 3, minutes: 2 });
    wait(100);
    expect(shown("report")).toEqual([]);
    expect(recorder.connectionsNow).toBe(0);
    expect(recorder.totals).toEqual({
      requestsReceived: 0,
      minutes: 0,
      messagesReceived: 0,
      messagesSent: 0,
    });
    recorder.flush();
    expect(shown("counts").map((one) => one["requests-received"])).toEqual([1]);
  });
});

describe("given more routes than are reported one by one", () => {
  test("when one more comes, then it counts for none, up and down", () => {
    const { recorder, clock, shown, wait } = running();
    for (let i = 0; i < REPORTED_ROUTES_MAX; i += 1)
      recorder.count(`r${i}`, "clientMessagesSent", 1);
    recorder.connectionAdded(
      {
        id: "a",
        kind: "ws",
        route: "late",
        peerAddress: "",
        secure: false,
        unreportedMs: undefined,
      },
      clock.nowMs(),
    );
    wait(10);
    expect(shown("report").some((one) => one["route"] === "late")).toBe(false);
    expect(shown("report").find((one) => one["route"] === undefined)?.["connections"]).toBe(1);
    wait(20); // the others are forgotten: there is room again
    recorder.connectionRemoved("a", clock.nowMs());
    wait(20);
    expect(recorder.connectionsNow).toBe(0);
  });
});
