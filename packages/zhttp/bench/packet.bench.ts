import { decodePacket, encodePacket, Packet } from "../src/core/index.ts";

/** One request as a browser sends it: 12 headers, about 800 bytes. */
function request(): Packet {
  return Object.assign(new Packet(), {
    from: "connmgr-0-18f3a",
    id: "0-1a-c",
    seq: 0,
    method: "GET",
    uri: "http://www.example.com/path/to/resource?with=query",
    headers: Array.from({ length: 24 }, (_, i) =>
      i % 2 ? `value ${i} of some usual length` : `Header-Name-${i}`,
    ),
    credits: 8192,
    stream: true,
    multi: true,
    peerAddress: "127.0.0.1",
    peerPort: 50000,
  });
}

function measure(name: string, rounds: number, run: () => void): void {
  for (let i = 0; i < rounds; i += 1) run();
  const samples: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < rounds; i += 1) run();
    samples.push(Number(process.hrtime.bigint() - started) / rounds);
  }
  samples.sort((a, b) => a - b);
  const [min, median, max] = [samples[0], samples[4], samples[8]].map((one) =>
    Math.round(one ?? 0),
  );
  console.log(JSON.stringify({ name, unit: "ns", median, min, max, node: process.version }));
}

const packet = request();
const frame = encodePacket(packet);
measure("encode request of 12 headers", 50_000, () => encodePacket(packet));
measure("decode request of 12 headers", 50_000, () => decodePacket(frame));
const chunk = Object.assign(new Packet(), {
  from: "px",
  id: "0-1a-c",
  seq: 5,
  body: "x".repeat(50),
  more: true,
});
const chunkFrame = encodePacket(chunk);
measure("encode stream chunk", 100_000, () => encodePacket(chunk));
measure("decode stream chunk", 100_000, () => decodePacket(chunkFrame));
const list = Object.assign(new Packet(), {
  from: "hd",
  ids: Array.from({ length: 128 }, (_, i) => ({ id: `0-${i}-c`, seq: i })),
  body: "x".repeat(50),
  more: true,
});
const listFrame = encodePacket(list);
measure("encode id list of 128", 5_000, () => encodePacket(list));
measure("decode id list of 128", 5_000, () => decodePacket(listFrame));
