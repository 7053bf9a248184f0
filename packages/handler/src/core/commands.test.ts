import type { RpcResult } from "@pushpin/zrpc";
import { describe, expect, test } from "vitest";
import { collectReplies } from "./commands.ts";

const list = (...value: string[]): RpcResult => ({ success: true, value });
const done: RpcResult = { success: true, value: null };
const unknown: RpcResult = { success: false, condition: "item-not-found" };
const late: RpcResult = { success: false, condition: "timeout" };

describe("given a question that two workers of the proxy answer", () => {
  const joined = (...results: RpcResult[]): RpcResult[] => {
    const answers: RpcResult[] = [];
    const collect = collectReplies(2, (one) => answers.push(one));
    for (const one of results) collect(one);
    return answers;
  };

  test("when one has answered, then the other is waited for", () => {
    expect(joined(done)).toEqual([]);
  });

  test.each([
    ["lists", [list("a"), list("b")], list("a", "b")],
    ["one success", [unknown, done], done],
    ["one success first", [done, unknown], done],
    ["no success", [unknown, unknown], unknown],
    // What it knows is missing: others would be taken for gone.
    ["a list of one alone", [list("a"), late], late],
  ])("when there are %s, then they are joined", (_what, results, expected) => {
    expect(joined(...results)).toEqual([expected]);
  });
});
