import { describe, expect, test } from "vitest";
import { decodeStatsPacket, encodeStatsPacket, readConnectionMaxima } from "./stats-packet.ts";

describe("given captured packets of the original", () => {
  test.each([
    [
      "conn T106:4:from,19:pushpin-proxy_27198,4:type,4:http,3:ttl,3:120#2:id,13:condure:0-0-0,12:peer-address,9:127.0.0.1,}",
      "conn",
      {
        from: "pushpin-proxy_27198",
        type: "http",
        ttl: 120,
        id: "condure:0-0-0",
        "peer-address": "127.0.0.1",
      },
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

  test("handler R132: when a subscription is written as JSON, then its members are in order", () => {
    const fields = { from: "h", mode: "stream", channel: "r", ttl: 4, subscribers: 1 };
    expect(encodeStatsPacket("sub", fields, "json").toString()).toBe(
      'sub J{"channel":"r","from":"h","mode":"stream","subscribers":1,"ttl":4}',
    );
  });

  test("when ours is written, then both formats say the same", () => {
    const fields = { from: "h", channel: "caf\u00c3\u00a9", count: 2, route: undefined };
    expect(encodeStatsPacket("message", fields, "json").toString()).toBe(
      'message J{"channel":"café","count":2,"from":"h"}',
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

describe("given the maxima of a call", () => {
  test("when some are no packets, then the others are read", () => {
    const fields = new Map([["max", 3]]);
    expect(readConnectionMaxima([fields, "x", null, 5])).toEqual([{ topic: "conn-max", fields }]);
  });

  test.each([undefined, null, "x", new Map()])("when there is %j, then there are none", (value) => {
    expect(readConnectionMaxima(value)).toEqual([]);
  });
});
