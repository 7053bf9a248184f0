import { describe, expect, test } from "vitest";
import { UploadBody } from "./shell/upload-body.ts";

function made(first = ""): { body: UploadBody; taken: number[] } {
  const taken: number[] = [];
  return { body: new UploadBody(first, (bytes) => taken.push(bytes)), taken };
}

describe("given the body of an upload", () => {
  test("when its reader takes what waits, then that is reported at once, and only once", () => {
    const { body, taken } = made();
    body.add("x".repeat(100_000), true);
    expect(taken).toEqual([]);
    expect(String(body.read())).toHaveLength(100_000);
    expect(taken).toEqual([100_000]);
    body.add("yz", true);
    expect(String(body.read())).toBe("yz");
    expect(taken).toEqual([100_000, 2]);
  });

  test("when its reader stops and goes on, then the last piece is reported too", async () => {
    const { body, taken } = made();
    body.on("data", () => body.pause());
    body.add("abc", true);
    body.add("defg", true);
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 3; i += 1) {
      body.resume();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(taken.reduce((sum, bytes) => sum + bytes, 0)).toBe(7);
  });

  test("when bytes came uncredited, then they are not reported", () => {
    const { body, taken } = made("first");
    body.add("more", false);
    expect(String(body.read())).toBe("firstmore");
    expect(taken).toEqual([4]);
  });
});
