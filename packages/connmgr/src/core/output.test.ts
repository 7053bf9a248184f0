import { describe, expect, test } from "vitest";
import { Joint, type Output, OutputJoin, type Part } from "./output.ts";

function gather(join: OutputJoin, ...parts: Part[]): Output {
  let output: Output = "";
  for (const part of parts) output = join.add(output, part);
  return output;
}

const bytesOf = (output: Output) =>
  (output instanceof Joint ? output.pieces() : [output])
    .map((one) => Buffer.from(one as string, "latin1").toString("latin1"))
    .join("");

describe("given clients that get the same parts in the same order", () => {
  test("then they have the same joint, and its bytes are joined once", () => {
    const join = new OutputJoin();
    const body = Buffer.from("body");
    const first = gather(join, "a", body, "c") as Joint;
    const second = gather(join, "a", body, "c") as Joint;
    expect(second).toBe(first);
    expect(second.pieces()).toBe(first.pieces());
    expect(first.pieces().length).toBe(1);
    expect(bytesOf(first)).toBe("abodyc");
  });

  test("when one gets a part less or another one, then the bytes of each are its own", () => {
    const join = new OutputJoin();
    const outputs = [
      ["a", "b", "c"],
      ["a", "b"],
      ["a", "b", "d"],
      ["a", "x", "c"],
      ["b", "c"],
      ["a", "b", "c"],
      ["a"],
      [],
    ].map((parts) => ({ parts, output: gather(join, ...parts) }));
    for (const { parts, output } of outputs) expect(bytesOf(output)).toBe(parts.join(""));
  });

  test("when equal bytes are in different buffers, then each client gets its own", () => {
    const join = new OutputJoin();
    const outputs = [1, 2].map(() => gather(join, Buffer.from("ab"), Buffer.from("cd")));
    for (const output of outputs) expect(bytesOf(output)).toBe("abcd");
  });
});

test("given parts with bytes above 127, when they are joined, then each character is one byte", () => {
  expect(bytesOf(gather(new OutputJoin(), "\xe4", Buffer.from([0xff]), "\x80"))).toBe("\xe4\xff\x80");
});

test("given what is forgotten between turns, when parts come for what gathered before, then the order stays", () => {
  const join = new OutputJoin();
  const output = gather(join, "a", "b");
  join.forget();
  expect(bytesOf(join.add(output, "c"))).toBe("abc");
  expect(bytesOf(gather(join, "a", "b", "d"))).toBe("abd");
});

test("given a large part between others, when they are written, then it is not copied", () => {
  const large = Buffer.alloc(16_384, "x");
  const output = gather(new OutputJoin(), "head", large, "tail") as Joint;
  expect(output.pieces()).toEqual(["head", large, "tail"]);
  expect(output.pieces()[1]).toBe(large);
});
