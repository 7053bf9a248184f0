import { decode, encode } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import {
  decodeAcceptRequest,
  decodeAcceptResult,
  decodeControlPacket,
  decodeRequest,
  decodeResponse,
  decodeRetryPacket,
  encodeAcceptRequest,
  encodeControlPacket,
  encodeRequest,
  encodeResponse,
  encodeRetryPacket,
} from "./index.ts";

const state = {
  rid: { sender: "condure", id: "1-0-0" },
  inSeq: 2,
  outSeq: 2,
  outCredits: 8192,
  peerAddress: "127.0.0.1",
};
const request = { method: "GET", uri: "http://a/", headers: ["A", "b"], body: "" };

function through<T>(value: Parameters<typeof encode>[0], read: (map: never) => T): T {
  const decoded = decode(encode(value));
  if (!decoded.ok) throw new Error(decoded.error);
  return read(decoded.value as never);
}

describe("given the questions between proxy and handler (wire.md 5)", () => {
  test("when an accept is encoded and decoded, then it is the same, and false booleans are not sent", () => {
    const accept = {
      requests: [state],
      requestData: request,
      origRequestData: request,
      response: { code: 200, reason: "OK", headers: [], body: "x" },
      route: "r",
      trusted: true,
      inspect: { noProxy: false, lastIds: new Map([["c", "1"]]) },
    };
    expect(through(encodeAcceptRequest(accept), decodeAcceptRequest)).toEqual({
      ok: true,
      // Of what went to the backend, only this is asked for.
      value: { ...accept, requestData: { method: request.method, uri: request.uri } },
    });
  });

  test("when a retry is encoded and decoded, then it is the same", () => {
    const retry = { requests: [state], requestData: request, retrySeq: 4 };
    expect(through(encodeRetryPacket(retry), decodeRetryPacket)).toEqual({
      ok: true,
      value: retry,
    });
  });

  test("when a field is missing, then the error names its path", () => {
    expect(
      through(
        { requests: [{ rid: { sender: "a", id: "b" }, "in-seq": 1, "out-seq": 1 }] },
        decodeAcceptRequest,
      ),
    ).toEqual({ ok: false, error: "accept.requests[0].out-credits: missing" });
  });

  test("when the captured answers are decoded, then they are understood", () => {
    expect(
      decodeResponse(Buffer.from("57:5:value,18:8:accepted,4:true!}2:id,2:a1,7:success,4:true!}")),
    ).toMatchObject({ ok: true, value: { id: "a1", result: { success: true } } });
    expect(through({ accepted: true }, decodeAcceptResult)).toEqual({
      ok: true,
      value: { accepted: true },
    });
  });

  test("when one control item is unknown, then the whole packet is refused", () => {
    const good = {
      from: "px",
      items: [{ cid: "c", type: "grip" as const, reqId: "0", message: "{}" }],
    };
    expect(through(encodeControlPacket(good), decodeControlPacket)).toMatchObject({
      ok: true,
      value: good,
    });
    expect(
      through({ from: "px", items: [{ cid: "c", type: "zzz" }] }, decodeControlPacket).ok,
    ).toBe(false);
  });

  test("when requests and responses travel, then ids, methods and failures come through", () => {
    expect(decodeRequest(encodeRequest({ id: "1", method: "m", args: { a: 1 } }))).toMatchObject({
      ok: true,
      value: { id: "1", method: "m", args: new Map([["a", 1]]) },
    });
    expect(
      decodeResponse(
        encodeResponse("1", { success: false, condition: "bad-format", value: "why" }),
      ),
    ).toEqual({
      ok: true,
      value: { id: "1", result: { success: false, condition: "bad-format", value: "why" } },
    });
    expect(decodeRequest(Buffer.from("garbage")).ok).toBe(false);
  });
});
