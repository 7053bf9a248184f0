import { describe, expect, test } from "vitest";
import { answerControl, type ControlTarget } from "./control-api.ts";
import type { ControlRequest, ControlResponse } from "./control-exchange.ts";
import { type PartState, partStates, readProxyHealth, renderReadiness } from "./health.ts";

const well = { ok: true, clients: 1, backends: 1 } as const;
const notReady = (parts: readonly PartState[]) =>
  parts.filter((one) => !one.ready).map((one) => `${one.name}: ${one.reason}`);

describe("given a handler that is asked whether all is ready", () => {
  test("when everybody is there, then it is", () => {
    expect(partStates([well], 1, 1).map((one) => [one.name, one.ready])).toEqual([
      ["handler", true],
      ["proxy", true],
      ["connmgr", true],
      ["httpclient", true],
    ]);
  });

  test.each([
    [
      "the proxy does not answer",
      partStates([], 1, 1),
      ["proxy: 0 of 1 answer", "httpclient: unknown while the proxy does not answer"],
    ],
    [
      "one of two proxies answers with an error",
      partStates([well, { ok: false, condition: "timeout" }], 2, 1),
      ["proxy: 1 of 2 answer: timeout"],
    ],
    ["no connmgr is there", partStates([well], 1, 0), ["connmgr: not connected to the handler"]],
    [
      "a proxy has no connmgr",
      partStates([well, { ...well, clients: 0 }], 2, 1),
      ["connmgr: not connected to the proxy"],
    ],
    [
      "the httpclient is gone",
      partStates([{ ...well, backends: 0 }], 1, 1),
      ["httpclient: not connected to the proxy"],
    ],
  ])("when %s, then that is said", (_, parts, expected) => {
    expect(notReady(parts)).toEqual(expected);
  });

  test("when the proxy's answer is read, then only counts are taken", () => {
    const answer = (value: Map<string, unknown> | string) =>
      readProxyHealth({ success: true, value: value as never });
    expect(answer(new Map([["clients", 2]]))).toEqual({ ok: true, clients: 2, backends: 0 });
    expect(answer(new Map([["clients", "2"]]))).toEqual({ ok: true, clients: 0, backends: 0 });
    expect(answer("x")).toEqual({ ok: false, condition: "bad-format" });
    expect(readProxyHealth({ success: false, condition: "timeout" })).toEqual({
      ok: false,
      condition: "timeout",
    });
  });

  test("when the answer is made, then its code says all, and its lines each part", () => {
    const parts = partStates([well], 1, 0);
    expect(renderReadiness(parts, "text")).toMatchObject({
      code: 503,
      body: "not ready\nhandler: ok\nproxy: ok\nconnmgr: not connected to the handler\nhttpclient: ok\n",
    });
    const json = renderReadiness(parts, "json");
    expect(JSON.parse(json.body)).toMatchObject({
      ready: false,
      parts: { handler: { ready: true }, connmgr: { ready: false } },
    });
    expect(renderReadiness(partStates([well], 1, 1), "text").code).toBe(200);
  });
});

describe("given the control port", () => {
  const target: ControlTarget = {
    publish: () => {},
    publishWithReceipts: () => {},
    recover: () => {},
    readiness: (done) => done(partStates([well], 1, 1)),
  };
  const ask = (method: string, path: string): ControlResponse => {
    const request: ControlRequest = {
      method,
      target: path,
      minorVersion: 1,
      headers: [],
      body: "",
    };
    const answer = answerControl(request, target);
    if ("response" in answer) return answer.response;
    let response: ControlResponse | undefined;
    answer.later((one) => {
      response = one;
    });
    return response as ControlResponse;
  };

  test("when health is asked for, then it answers beside the original's paths", () => {
    expect(ask("GET", "/livez")).toMatchObject({ code: 200, body: "ok\n" });
    expect(ask("GET", "/readyz")).toMatchObject({ code: 200, contentType: "text/plain" });
    expect(ask("GET", "/readyz/").body).toMatch(/^ready\nhandler: ok\n/);
    expect(ask("GET", "/")).toMatchObject({ code: 200, body: "Pushpin API\n" });
    expect(ask("POST", "/readyz")).toMatchObject({ code: 405, extraHeaders: ["Allow", "GET"] });
  });
});
