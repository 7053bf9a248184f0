import { decode, encode, type TnetInput, type TnetMap } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { decodeAcceptRequest, decodeRetryPacket } from "./accept.ts";
import { decodeResponse } from "./envelope.ts";
import { decodeControlPacket, encodeControlPacket } from "./ws-control.ts";

// What proxy and handler of the original say to each other (wire.md 9).

const mapOf = (value: TnetInput) => {
  const decoded = decode(encode(value));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value as TnetMap;
};

describe("given captured answers", () => {
  test.each([
    [
      "57:5:value,18:8:accepted,4:true!}2:id,2:a1,7:success,4:true!}",
      { id: "a1", result: { success: true, value: new Map([["accepted", true]]) } },
    ],
    [
      "120:9:condition,10:bad-format,5:value,54:Grip-Hold must be set to either 'response' or 'stream',2:id,2:a1,7:success,5:false!}",
      {
        id: "a1",
        result: {
          success: false,
          condition: "bad-format",
          value: "Grip-Hold must be set to either 'response' or 'stream'",
        },
      },
    ],
  ])("when the bytes are %s, then they are understood", (text, expected) => {
    expect(decodeResponse(Buffer.from(text, "latin1"))).toEqual({ ok: true, value: expected });
  });
});

const request = { method: "GET", uri: "http://h/", headers: [["Host", "h"]], body: "" };
const flat = { method: "GET", uri: "http://h/", headers: ["Host", "h"], body: "" };

test("given a captured accept, when it is decoded, then the request's state is known", () => {
  const accept = decodeAcceptRequest(
    mapOf({
      trusted: true,
      route: "*,*,*,*",
      inspect: { "no-proxy": false },
      requests: [
        {
          rid: { sender: "condure", id: "1-0-0" },
          "in-seq": 2,
          "out-seq": 2,
          "out-credits": 8192,
          "peer-address": "127.0.0.1",
          "logical-peer-address": "127.0.0.1",
        },
      ],
      "orig-request-data": request,
      "request-data": request,
      response: { code: 200, reason: "OK", headers: [["Grip-Hold", "response"]], body: "x" },
    }),
  );
  expect(accept).toMatchObject({
    ok: true,
    value: {
      trusted: true,
      route: "*,*,*,*",
      inspect: { noProxy: false },
      requests: [
        {
          rid: { sender: "condure", id: "1-0-0" },
          inSeq: 2,
          outSeq: 2,
          outCredits: 8192,
          peerAddress: "127.0.0.1",
        },
      ],
      origRequestData: flat,
      response: { code: 200, headers: ["Grip-Hold", "response"] },
    },
  });
});

test("given a captured retry, when it is decoded, then the ids that were seen are known", () => {
  const retry = decodeRetryPacket(
    mapOf({
      inspect: { "last-ids": { pt: "1" }, "no-proxy": false },
      route: "*,*,*,*",
      "request-data": request,
      requests: [
        {
          rid: { sender: "condure", id: "0-0-a" },
          "in-seq": 3,
          "out-seq": 4,
          "out-credits": 8192,
          "peer-address": "127.0.0.1",
        },
      ],
    }),
  );
  expect(retry).toMatchObject({
    ok: true,
    value: {
      inspect: { noProxy: false, lastIds: new Map([["pt", "1"]]) },
      requestData: flat,
      requests: [{ rid: { id: "0-0-a" }, inSeq: 3, outSeq: 4, outCredits: 8192 }],
    },
  });
});

describe("given captured ws-control packets", () => {
  const cid = "94fac426-0000-0000-0000-000000000000";
  test.each([
    [{ type: "here", ttl: 60, route: "*,*,*,*", cid, uri: "ws://127.0.0.1:20000/ws-grip" }],
    [{ type: "grip", cid, "req-id": "0", message: '{"type":"subscribe","channel":"wsch"}' }],
    [{ cid, "req-id": "0", type: "ack" }],
    [{ cid, timeout: 2, type: "keep-alive-setup", "keep-alive-mode": "idle" }],
    [{ "content-type": "text", cid, message: "pubws", type: "send" }],
    [{ type: "need-keep-alive", cid }],
    [{ queue: true, "content-type": "text", cid, "req-id": "0", message: "dl", type: "send" }],
    [{ reason: "r", code: 4009, cid, type: "close" }],
    [{ type: "subscribe", channel: "implicit1", cid, "req-id": "0" }],
    [{ type: "gone", cid }],
  ])("when an item is %j, then it is understood and said again the same", (item) => {
    const given = mapOf({ from: "p", items: [item] });
    const packet = decodeControlPacket(given);
    if (!packet.ok) throw new Error(packet.error);
    const said = mapOf(encodeControlPacket(packet.value));
    expect((said.get("items") as TnetMap[])[0]).toEqual(mapOf(item));
  });
});

describe("given an item for several sessions", () => {
  const packet = (also: TnetInput) =>
    decodeControlPacket(mapOf({ from: "h", items: [{ cid: "a", also, type: "cancel" }] }));

  test("when it is decoded, then each gets its own", () => {
    expect(packet(["b", "c"])).toMatchObject({
      ok: true,
      value: { items: ["a", "b", "c"].map((cid) => ({ cid, type: "cancel" })) },
    });
  });

  test.each([["no list", "b"], ["no names", [1]], ["too many", Array.from({ length: 128 }, String)]])(
    "when the others are %s, then the packet is refused",
    (_, also) => {
      expect(packet(also).ok).toBe(false);
    },
  );
});
