import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { describe, expect, test } from "vitest";
import { hasGripInstruction, parseKey, Signer, signToken, verifyToken } from "./index.ts";

const noFile = () => Buffer.alloc(0);

describe("given a signing key", () => {
  test("proxy R33: when a token is made, then header, claims and signature are the original's", () => {
    const key = parseKey("changeme", noFile);
    if (key === undefined) throw new Error("no key");
    const token = new Signer().token("pushpin", key, 1_700_000_000_500);
    const [head, claims] = token
      .split(".")
      .map((one) => Buffer.from(one, "base64url").toString("latin1"));
    expect([head, claims]).toEqual([
      '{"typ":"JWT","alg":"HS256"}',
      '{"exp":1700003600,"iss":"pushpin"}',
    ]);
    expect(verifyToken(token, Buffer.from("changeme"), 1_700_000_000_500)).toBe(true);
    expect(verifyToken(token, Buffer.from("changeme"), 1_700_003_600_000)).toBe(false);
    expect(verifyToken(token, Buffer.from("other"), 1_700_000_000_500)).toBe(false);
  });

  test("proxy R34: when it is base64, then it is the same key as the text", () => {
    expect(parseKey("base64:Zm9v", noFile)).toEqual(parseKey("foo", noFile));
  });

  test("proxy R35: when it is an EC key in a file, then the token verifies with the public key", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const key = parseKey("file:x.pem", () => Buffer.from(pem));
    if (key === undefined) throw new Error("no key");
    const [head = "", claims = "", signature = ""] = signToken({ exp: 1 }, key).split(".");
    const publicKey = { key: createPublicKey(privateKey), dsaEncoding: "ieee-p1363" } as const;
    expect(
      verify(
        "sha256",
        Buffer.from(`${head}.${claims}`),
        publicKey,
        Buffer.from(signature, "base64url"),
      ),
    ).toBe(true);
  });

  test("proxy R51: when it is empty, then there is no key, and nobody is trusted by it", () => {
    expect(parseKey("", noFile)).toBeUndefined();
    expect(
      verifyToken(
        signToken({ exp: 9e9 }, { kind: "secret", secret: Buffer.alloc(0) }),
        Buffer.alloc(0),
        0,
      ),
    ).toBe(false);
  });
});

test("given response headers, when any begins with Grip- or the type is grip-instruct, then the handler is asked", () => {
  expect(hasGripInstruction(["X", "y", "gRIP-Foo", "1"])).toBe(true);
  expect(hasGripInstruction(["Content-Type", "application/grip-instruct;charset=utf-8"])).toBe(
    true,
  );
  expect(hasGripInstruction(["Content-Type", "Application/grip-instruct", "Grippy", "1"])).toBe(
    false,
  );
});
