import type { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import * as ws from "ws";
import { FrameReader } from "./frame-reader.ts";
import { encodeMaskedFrame, type Opcode } from "./frames.ts";

/** The reader of the `ws` package, which its types do not name. */
const { Receiver } = ws as unknown as {
  Receiver: new (options: {
    isServer: boolean;
    maxPayload: number;
    skipUTF8Validation: boolean;
  }) => Writable;
};

const ROUNDS = 2000;
const SEED = 20_261_121;

type Event = readonly [kind: string, ...values: unknown[]];

let state = SEED;
const random = (below: number) => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const pick = <T>(list: readonly T[]) => list[random(list.length)] as T;

const TEXTS = ["", "a", "hello", "é", "日本", "\u{1f600}", "x".repeat(200), "y".repeat(5000)];

/** Frames of a client, mostly in order, cut and damaged here and there. */
function stream(): Buffer {
  const frames: Buffer[] = [];
  for (let left = 1 + random(6); left > 0; left -= 1) {
    const payload = Buffer.from(pick(TEXTS));
    switch (random(6)) {
      case 0:
        frames.push(encodeMaskedFrame(pick([1, 2] as const), payload, true));
        break;
      case 1: {
        const cut = random(payload.length + 1);
        frames.push(encodeMaskedFrame(pick([1, 2] as const), payload.subarray(0, cut), false));
        if (random(2) === 0) frames.push(encodeMaskedFrame(9, "p", true));
        frames.push(encodeMaskedFrame(0, payload.subarray(cut), true));
        break;
      }
      case 2:
        frames.push(encodeMaskedFrame(pick([9, 10] as const), payload.subarray(0, 125), true));
        break;
      case 3:
        frames.push(encodeMaskedFrame(random(16) as Opcode, payload, random(4) > 0));
        break;
      case 4:
        if (random(3) > 0) break;
        frames.push(
          encodeMaskedFrame(
            8,
            Buffer.from([random(20), random(256), ...payload.subarray(0, 50)]),
            true,
          ),
        );
        break;
      default:
        frames.push(
          encodeMaskedFrame(pick([1, 2] as const), Buffer.from([random(256), random(256)]), true),
        );
    }
  }
  const bytes = Buffer.concat(frames);
  if (bytes.length > 0)
    for (let left = random(3); left > 0; left -= 1) {
      const at = random(Math.min(bytes.length, 300));
      bytes[at] = random(3) === 0 ? random(256) : (bytes[at] as number) ^ (1 << random(8));
    }
  return bytes;
}

function pieces(bytes: Buffer): Buffer[] {
  const cut: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const take = 1 + random(pick([3, 20, 5000]));
    cut.push(Buffer.from(bytes.subarray(at, at + take)));
    at += take;
  }
  return cut;
}

/** Messages, pings, pongs; `end` for a close or an error, with its code. */
function ours(bytes: Buffer): Event[] {
  const events: Event[] = [];
  let message: Buffer[] = [];
  const reader = new FrameReader(
    { isServer: true, messageMaxBytes: 100_000 },
    {
      onData: (piece, isBinary, last) => {
        message.push(Buffer.from(piece));
        if (!last) return;
        events.push(["message", isBinary, Buffer.concat(message).toString("hex")]);
        message = [];
      },
      onPing: (payload) => events.push(["ping", payload.toString("hex")]),
      onPong: (payload) => events.push(["pong", payload.toString("hex")]),
      onClose: (code, reason) => events.push(["close", code ?? 1005, reason.toString("hex")]),
      onError: (code) => events.push(["error", code]),
    },
  );
  for (const piece of pieces(bytes)) reader.receive(piece);
  return events;
}

function theirs(bytes: Buffer): Event[] {
  const events: Event[] = [];
  const receiver = new Receiver({ isServer: true, maxPayload: 100_000, skipUTF8Validation: false });
  receiver.on("message", (data: Buffer, isBinary: boolean) =>
    events.push(["message", isBinary, data.toString("hex")]),
  );
  receiver.on("ping", (payload: Buffer) => events.push(["ping", payload.toString("hex")]));
  receiver.on("pong", (payload: Buffer) => events.push(["pong", payload.toString("hex")]));
  receiver.on("conclude", (code: number, reason: Buffer) =>
    events.push(["close", code, reason.toString("hex")]),
  );
  receiver.on("error", (error: object) => {
    const [symbol] = Object.getOwnPropertySymbols(error);
    events.push(["error", symbol && (error as Record<symbol, number>)[symbol]]);
  });
  receiver.write(Buffer.from(bytes));
  return events;
}

describe("given streams of frames, some of them damaged", () => {
  test(`when they are read, then all is as the ws package reads it (seed ${SEED})`, async () => {
    let messages = 0;
    let errors = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const bytes = stream();
      const [one, other] = [ours(bytes), theirs(bytes)];
      await new Promise((resolve) => setImmediate(resolve)); // errors of a stream come later
      // Ours checks texts while they come, so it may end where the other still waits.
      const last = one.at(-1);
      const isEarly = last?.[0] === "error" && (last[1] === 1007 || last[1] === 1009);
      const known = isEarly ? one.slice(0, -1) : one;
      expect(known, bytes.toString("hex")).toEqual(isEarly ? other.slice(0, known.length) : other);
      if (isEarly)
        expect(other.slice(known.length).filter(([kind]) => kind === "message")).toEqual([]);
      messages += one.filter(([kind]) => kind === "message").length;
      errors += last?.[0] === "error" ? 1 : 0;
    }
    expect(messages).toBeGreaterThan(ROUNDS / 2);
    expect(errors).toBeGreaterThan(ROUNDS / 10);
  });
});
