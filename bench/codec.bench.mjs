import { decode, encode } from "@pushpin/tnetstrings";
import { decodePacket, encodePacket, Packet } from "@pushpin/zhttp";
import { measure } from "./measure.mjs";

/** A request as a browser sends it: 12 headers, about 800 bytes. */
const request = Object.assign(new Packet(), {
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
const chunk = Object.assign(new Packet(), {
  from: "px",
  id: "0-1a-c",
  seq: 5,
  body: "x".repeat(50),
  more: true,
});
const list = Object.assign(new Packet(), {
  from: "hd",
  ids: Array.from({ length: 128 }, (_, i) => ({ id: `0-${i}-c`, seq: i })),
  body: "x".repeat(50),
  more: true,
});
for (const [name, packet] of [
  ["request of 12 headers", request],
  ["chunk of 50 bytes", chunk],
  ["list of 128 sessions", list],
]) {
  const frame = encodePacket(packet);
  measure(`encode packet: ${name}`, () => encodePacket(packet));
  measure(`decode packet: ${name}`, () => decodePacket(frame));
}

const item = {
  channel: "some-channel",
  id: "12",
  "prev-id": "11",
  formats: {
    "http-stream": { content: "hello there\n" },
    "http-response": { code: 200, headers: [["Content-Type", "text/plain"]], body: "hello\n" },
    "ws-message": { content: "hello" },
  },
};
const itemFrame = encode(item);
measure("encode value: published item", () => encode(item));
measure("decode value: published item", () => decode(itemFrame));
