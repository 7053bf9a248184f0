import { ByteWriter, encode } from "@pushpin/tnetstrings";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeFrame, decodePacket, encodePacket, Packet, PART_MIN_BYTES, writePacket } from "./index.ts";

const bytes = fc.uint8Array({ maxLength: 60 }).map((one) => Buffer.from(one).toString("latin1"));
const nonEmpty = fc
  .uint8Array({ minLength: 1, maxLength: 60 })
  .map((one) => Buffer.from(one).toString("latin1"));
const packets = fc
  .record(
    {
      from: nonEmpty,
      id: nonEmpty,
      seq: fc.nat(),
      type: fc.constantFrom(
        "data",
        "credit",
        "keep-alive",
        "cancel",
        "handoff-start",
        "close",
        "ping",
      ) as fc.Arbitrary<Packet["type"]>,
      condition: bytes,
      credits: fc.nat(1_000_000),
      more: fc.boolean(),
      stream: fc.boolean(),
      routerResp: fc.boolean(),
      multi: fc.boolean(),
      batch: fc.boolean(),
      method: bytes,
      uri: bytes,
      headers: fc
        .array(bytes, { maxLength: 12 })
        .map((one) => (one.length % 2 ? one.slice(1) : one)),
      code: fc.nat(999),
      reason: bytes,
      body: fc.oneof(bytes, fc.constant(Buffer.alloc(9000, "x"))),
      contentType: bytes,
      userData: fc.constant("3:abc,"),
      peerAddress: bytes,
      peerPort: fc.nat(65535),
      connectHost: bytes,
      connectPort: fc.nat(65535),
      ignorePolicies: fc.boolean(),
      maxSize: fc.nat(),
      timeoutMs: fc.nat(),
      passthrough: fc.constant(new Map([["route", "r"]])),
    },
    { requiredKeys: ["from", "id"] },
  )
  .map((fields) => Object.assign(new Packet(), fields));

function decoded(frame: Uint8Array): Packet {
  const result = decodePacket(frame);
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

describe("given any packet", () => {
  test("when it is encoded and decoded, then it is the same", () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const back = decoded(encodePacket(packet));
        // Bodies as text: buffers are compared byte by byte, which takes long.
        const text = (body: string | Uint8Array): string =>
          typeof body === "string" ? body : Buffer.from(body).toString("latin1");
        expect({ ...back, body: text(back.body) }).toEqual({ ...packet, body: text(packet.body) });
      }),
      { numRuns: 500 },
    );
  });

  test("when several go in one B frame, then each comes out, in order", () => {
    const writer = new ByteWriter();
    writer.add("B");
    for (const id of ["a", "b", "c"])
      writePacket(writer, Object.assign(new Packet(), { from: "p", id, body: Buffer.alloc(5000) }));
    const ids: string[] = [];
    decodeFrame(
      writer.take(),
      0,
      (packet) => ids.push(packet.id),
      (error) => ids.push(error),
    );
    expect(ids).toEqual(["a", "b", "c"]);
  });
});

/** What comes of a frame and the parts behind it: bodies as text, and errors. */
function taken(frame: Uint8Array, parts: Uint8Array[]): { packets: Packet[]; errors: string[] } {
  const packets: Packet[] = [];
  const errors: string[] = [];
  decodeFrame(
    frame,
    0,
    (packet) => packets.push(packet),
    (error) => errors.push(error),
    parts,
  );
  return { packets, errors };
}

describe("given a receiver that takes bodies as parts", () => {
  const large = (fill: string) => Buffer.alloc(PART_MIN_BYTES, fill);
  const frameOf = (bodies: (string | Uint8Array)[]) => {
    const writer = new ByteWriter();
    const parts: Uint8Array[] = [];
    writer.add("B");
    for (const [seq, body] of bodies.entries())
      writePacket(writer, Object.assign(new Packet(), { from: "p", id: "x", seq, body }), parts);
    return { frame: writer.take(), parts };
  };

  test("when large and small bodies are mixed, then only the large ones are parts, as they were, and all come in order", () => {
    const bodies = ["a", large("b"), "", Buffer.alloc(PART_MIN_BYTES - 1, "c"), large("d")];
    const { frame, parts } = frameOf(bodies);
    expect(parts).toEqual([bodies[1], bodies[4]]);
    expect(parts[0]).toBe(bodies[1]);
    const { packets, errors } = taken(frame, parts);
    expect(errors).toEqual([]);
    expect(packets.map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4]);
    for (const [i, { body }] of packets.entries())
      expect(Buffer.from(body as string, "latin1").equals(Buffer.from(bodies[i] as string, "latin1"))).toBe(true);
    expect(packets[4]?.body).toBe(bodies[4]);
  });

  test("when any packets are written with parts and read, then they are the same", () => {
    fc.assert(
      fc.property(fc.array(packets, { minLength: 1, maxLength: 5 }), (sent) => {
        const writer = new ByteWriter();
        const parts: Uint8Array[] = [];
        writer.add("B");
        for (const one of sent) writePacket(writer, one, parts);
        expect(parts).toHaveLength(sent.filter(({ body }) => typeof body !== "string").length);
        const { packets: back, errors } = taken(writer.take(), parts);
        expect(errors).toEqual([]);
        expect(back.map((one) => encodePacket(one))).toEqual(sent.map((one) => encodePacket(one as Packet)));
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    ["a part is missing", 1, "body-size: no part for the body"],
    ["there is a part too many", 3, "a part that is no packet's body"],
  ])("when %s, then the packets before it count, and it is an error", (_what, count, error) => {
    const { frame } = frameOf([large("a"), large("b")]);
    const parts = Array.from({ length: count }, () => large("x"));
    const { packets, errors } = taken(frame, parts);
    expect(packets).toHaveLength(Math.min(count, 2));
    expect(errors).toEqual([error]);
  });

  test.each([
    ["the part has another size", "T36:4:from,1:p,2:id,1:x,9:body-size,1:4#}", "body-size: not that of the part"],
    ["the body is there as well", "T46:4:from,1:p,2:id,1:x,9:body-size,1:5#4:body,1:b,}", "body-size: there is a body, too"],
    ["the size is no number", "T36:4:from,1:p,2:id,1:x,9:body-size,1:x#}", "body-size: bad integer"],
    ["the size is negative", "T37:4:from,1:p,2:id,1:x,9:body-size,2:-5#}", "body-size: bad integer"],
    ["the size is a text", "T36:4:from,1:p,2:id,1:x,9:body-size,1:5!}", "body-size: wrong type"],
    ["nothing asks for a part", "T18:4:from,1:p,2:id,1:x,}", "a part that is no packet's body"],
  ])("when %s, then that is an error", (_what, text, error) => {
    const map = text.slice(text.indexOf(":") + 1, -1);
    const { errors } = taken(Buffer.from(`T${map.length}:${map}}`), [Buffer.from("hello")]);
    expect(errors).toEqual([error]);
  });

  test("when a packet by itself has only a size, then it is refused", () => {
    const { frame } = frameOf([large("a")]);
    frame[0] = 0x54;
    expect(decodePacket(frame)).toEqual({ ok: false, error: "body-size: no part for the body" });
  });

  test("when frames with parts are mutated, then none throws, and every outcome is a packet or an error", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(3),
        (changes, count) => {
          const { frame, parts } = frameOf([large("a"), "b", large("c")]);
          for (const [at, byte] of changes) frame[at % frame.length] = byte;
          const { packets, errors } = taken(frame, [...parts, ...parts].slice(0, count));
          expect(packets.length + errors.length).toBeGreaterThan(0);
          expect(errors.length).toBeLessThan(2);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("given the receivers' rules of wire.md 1.2", () => {
  const frame = (map: Parameters<typeof encode>[0]) =>
    Buffer.concat([Buffer.from("T"), encode(map)]);

  test("when a key is unknown, then it is ignored; when it has a wrong type, then the packet is refused", () => {
    expect(decoded(frame({ from: "a", zzz: [1], id: "x" })).id).toBe("x");
    expect(decodePacket(frame({ from: 1 }))).toEqual({ ok: false, error: "from: wrong type" });
    expect(decodePacket(frame({ more: "true" })).ok).toBe(false);
    expect(decodePacket(frame({ type: "nonsense" }))).toEqual({
      ok: false,
      error: "type: unknown",
    });
    expect(decodePacket(frame(null)).ok).toBe(false);
    expect(decodePacket(frame(["x"])).ok).toBe(false);
  });

  test("when an integer comes as digits in bytes, then it is taken; a negative one is refused", () => {
    expect(decoded(frame({ "peer-port": "1234", seq: "3" }))).toMatchObject({
      peerPort: 1234,
      seq: 3,
    });
    expect(decodePacket(frame({ seq: -1 })).ok).toBe(false);
  });

  test("when the letter is another, then it is refused", () => {
    expect(decodePacket(Buffer.from("J{}")).ok).toBe(false);
    expect(decodePacket(Buffer.alloc(0)).ok).toBe(false);
  });

  test("when an id list has 128 entries, then each has its seq; when it has 129, then the packet is refused", () => {
    const list = (n: number) => Array.from({ length: n }, (_, i) => ({ id: `0-${i}`, seq: i }));
    expect(decoded(frame({ id: list(128) })).ids?.[127]).toEqual({ id: "0-127", seq: 127 });
    expect(decodePacket(frame({ id: list(129) }))).toEqual({
      ok: false,
      error: "id: too many entries",
    });
  });

  test("when a frame is large, then the body is a view and every key is still read", () => {
    const packet = decoded(
      frame({
        body: Buffer.alloc(20_000, 7),
        from: "x",
        seq: 5,
        headers: [["a", "b"]],
        "user-data": [1, "x"],
      }),
    );
    expect(packet).toMatchObject({
      from: "x",
      seq: 5,
      headers: ["a", "b"],
      userData: "8:1:1#1:x,]",
    });
    expect(packet.body).toBeInstanceOf(Uint8Array);
  });
});

describe("given the packets captured from the original (wire.md 9)", () => {
  test.each([
    [
      "T99:3:ext,15:5:multi,4:true!}4:from,19:pushpin-proxy_27198,4:type,10:keep-alive,2:id,5:0-0-0,3:seq,1:0#}",
      { from: "pushpin-proxy_27198", type: "keep-alive", id: "0-0-0", seq: 0, multi: true },
    ],
    [
      "T106:4:from,19:pushpin-proxy_27198,4:type,10:keep-alive,2:id,36:d3611656-0000-0000-0000-000000000000,3:seq,1:1#}",
      { from: "pushpin-proxy_27198", type: "keep-alive", seq: 1 },
    ],
    [
      "T117:3:ext,15:5:multi,4:true!}4:type,10:keep-alive,3:seq,1:0#4:from,6:zurl-1,2:id,36:d3611656-0000-0000-0000-000000000000,}",
      { from: "zurl-1", type: "keep-alive", seq: 0, multi: true },
    ],
    [
      "T51:4:from,1:c,2:id,1:a,3:seq,1:1#4:type,10:keep-alive,}",
      { from: "c", id: "a", seq: 1, type: "keep-alive" },
    ],
  ])("when %s is decoded, then its fields are right", (text, fields) => {
    const sized = text.replace(/^T\d+:/, () => `T${text.length - text.indexOf(":") - 2}:`);
    expect(decoded(Buffer.from(sized, "latin1"))).toMatchObject(fields);
  });
});

test("given random and mutated packets, when 300,000 are decoded, then none throws", () => {
  const seeds = [
    encodePacket(
      Object.assign(new Packet(), {
        from: "a",
        id: "b",
        seq: 1,
        headers: ["x", "y"],
        uri: "http://h/",
        method: "GET",
        passthrough: new Map([["a", "b"]]),
      }),
    ),
    encodePacket(
      Object.assign(new Packet(), {
        from: "a",
        ids: [{ id: "1", seq: 2 }, { id: "2" }],
        type: "keep-alive",
        multi: true,
        batch: true,
      }),
    ),
    encodePacket(
      Object.assign(new Packet(), {
        from: "a",
        id: "b",
        body: Buffer.alloc(9000),
        code: 200,
        reason: "OK",
        headers: [],
      }),
    ),
  ];
  let state = 99;
  const random = (n: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state % n;
  };
  let outcomes = 0;
  for (let i = 0; i < 300_000; i += 1) {
    const seed = seeds[i % 10 === 0 ? 2 : i % 2] as Buffer;
    const input = Buffer.from(
      seed.subarray(0, Math.min(seed.length, 400 + (i % 10 === 0 ? seed.length : 0))),
    );
    if (i % 7 === 0) input[0] = 0x42;
    for (let n = random(3); n >= 0; n -= 1)
      input[random(Math.min(input.length, 300))] = random(256);
    decodeFrame(
      input,
      0,
      () => {
        outcomes += 1;
      },
      () => {
        outcomes += 1;
      },
    );
  }
  expect(outcomes).toBeGreaterThan(300_000 - 1);
}, 120_000);
