import { describe, expect, test } from "vitest";
import {
  addRequest,
  addResponse,
  type ControlBatch,
  readRequests,
  readResponses,
} from "./control-batch.ts";
import { chooseFormat, type ControlRequest, type ControlResponse } from "./control-exchange.ts";

/** As a message between threads carries it. */
function carried(batch: ControlBatch): ControlBatch {
  return structuredClone(batch);
}

describe("given requests that a thread has read", () => {
  test("when they are handed over, then what decides about the answer is still there", () => {
    const body = Buffer.from('{"items": ["ä", "\\u0000"]}\xff\x00', "latin1");
    const requests: ControlRequest[] = [
      { method: "POST", target: "/publish/", minorVersion: 0, headers: [], body },
      {
        method: "GET",
        target: "/?a=b",
        minorVersion: 1,
        headers: ["Host", "x", "accept", "application/json;q=0.5", "ACCEPT", "text/plain;q=0.4"],
        body: "",
      },
    ];
    const batch: ControlBatch = [];
    for (const [i, request] of requests.entries()) addRequest(batch, 7 + i, request);
    const seen: [number, ControlRequest][] = [];
    readRequests(carried(batch), (...one) => seen.push(one));
    expect(seen.map(([number, { method, target }]) => [number, method, target])).toEqual([
      [7, "POST", "/publish/"],
      [8, "GET", "/?a=b"],
    ]);
    expect(seen[0]?.[1].body).toBe(body.toString("latin1"));
    for (const [i, [, { headers }]] of seen.entries())
      expect(chooseFormat(headers)).toBe(chooseFormat(requests[i]?.headers ?? []));
  });

  test("when nothing is handed over, then nothing is read", () => {
    readRequests([], () => expect.unreachable());
    readResponses([], () => expect.unreachable());
  });
});

describe("given answers", () => {
  test("when they are handed back, then they are the same, each for its request", () => {
    const answers: ControlResponse[] = [
      { code: 200, contentType: "text/plain", body: "Published\n" },
      { code: 405, contentType: "text/plain", body: "no\n", extraHeaders: ["Allow", "POST"] },
      { code: 200, contentType: "application/json", body: "\xc3\xa4" },
    ];
    const batch: ControlBatch = [];
    for (const [i, answer] of answers.entries()) addResponse(batch, i * 3, answer);
    const seen: [number, ControlResponse][] = [];
    readResponses(carried(batch), (...one) => seen.push(one));
    expect(seen).toEqual(answers.map((answer, i) => [i * 3, answer]));
  });
});
