import { encode, type TnetInput } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { Packet } from "./packet.ts";
import { decodePacket } from "./packet-decoder.ts";
import { encodePacket } from "./packet-encoder.ts";

// Packets seen between processes of the original (wire.md 9): first those whose bytes are known
// whole, then those known by their fields.

function decoded(frame: Uint8Array): Packet {
  const packet = decodePacket(frame);
  if (!packet.ok) throw new Error(packet.error);
  return packet.value;
}

/** Fields that differ from a packet without any. */
function shown(packet: Packet): Partial<Packet> {
  const plain = new Packet();
  return Object.fromEntries(
    Object.entries(packet).filter(
      ([name, value]) => value !== (plain as unknown as Record<string, unknown>)[name],
    ),
  );
}

const BYTES: readonly (readonly [string, string, Partial<Packet>])[] = [
  [
    "the proxy acknowledges a request",
    "T99:3:ext,15:5:multi,4:true!}4:from,19:pushpin-proxy_27198,4:type,10:keep-alive,2:id,5:0-0-0,3:seq,1:0#}",
    { from: "pushpin-proxy_27198", id: "0-0-0", seq: 0, type: "keep-alive", multi: true },
  ],
  [
    "zurl cancels what it does not know",
    "T27:4:type,6:cancel,2:id,3:abc,}",
    { id: "abc", type: "cancel" },
  ],
];

const HEADERS = [["Host", "127.0.0.1:20000"]];
const FLAT = ["Host", "127.0.0.1:20000"];

const FIELDS: readonly (readonly [string, TnetInput, Partial<Packet>])[] = [
  [
    "a connection manager opens a request",
    {
      from: "condure",
      id: "0-0-0",
      seq: 0,
      ext: { multi: true },
      method: "GET",
      uri: "http://127.0.0.1:20000/plain",
      headers: HEADERS,
      credits: 8192,
      stream: true,
      "peer-address": "127.0.0.1",
      "peer-port": 56798,
    },
    {
      from: "condure",
      id: "0-0-0",
      seq: 0,
      multi: true,
      method: "GET",
      uri: "http://127.0.0.1:20000/plain",
      headers: FLAT,
      credits: 8192,
      stream: true,
      peerAddress: "127.0.0.1",
      peerPort: 56798,
    },
  ],
  [
    "the proxy asks the HTTP client",
    {
      "connect-host": "127.0.0.1",
      "connect-port": 20010,
      ext: { multi: true },
      from: "pushpin-proxy_27198",
      headers: HEADERS,
      "ignore-policies": true,
      method: "GET",
      id: "d3611656-0000-0000-0000-000000000000",
      seq: 0,
      stream: true,
      credits: 200_000,
      uri: "http://127.0.0.1:20000/plain",
    },
    {
      connectHost: "127.0.0.1",
      connectPort: 20010,
      multi: true,
      from: "pushpin-proxy_27198",
      headers: FLAT,
      ignorePolicies: true,
      method: "GET",
      id: "d3611656-0000-0000-0000-000000000000",
      seq: 0,
      stream: true,
      credits: 200_000,
      uri: "http://127.0.0.1:20000/plain",
    },
  ],
  [
    "the HTTP client acknowledges",
    { ext: { multi: true }, type: "keep-alive", seq: 0, from: "zurl-1", id: "d" },
    { multi: true, type: "keep-alive", seq: 0, from: "zurl-1", id: "d" },
  ],
  [
    "the HTTP client answers",
    {
      code: 200,
      reason: "OK",
      body: "ok GET 0\n",
      headers: HEADERS,
      seq: 1,
      from: "zurl-1",
      id: "d",
    },
    {
      code: 200,
      reason: "OK",
      body: "ok GET 0\n",
      headers: FLAT,
      seq: 1,
      from: "zurl-1",
      id: "d",
    },
  ],
  [
    "the proxy gives a client away",
    { from: "pushpin-proxy_1", type: "handoff-start", id: "1-0-0", seq: 1 },
    { from: "pushpin-proxy_1", type: "handoff-start", id: "1-0-0", seq: 1 },
  ],
  [
    "the connection manager lets go",
    { from: "condure", type: "handoff-proceed", id: "1-0-0", seq: 1, ext: { multi: true } },
    { from: "condure", type: "handoff-proceed", id: "1-0-0", seq: 1, multi: true },
  ],
  [
    "a WebSocket opens, without stream",
    {
      from: "condure",
      id: "0-0-6",
      seq: 0,
      method: "GET",
      uri: "ws://127.0.0.1:20000/ws-plain",
      headers: HEADERS,
      credits: 8192,
      ext: { multi: true },
    },
    {
      from: "condure",
      id: "0-0-6",
      seq: 0,
      method: "GET",
      uri: "ws://127.0.0.1:20000/ws-plain",
      headers: FLAT,
      credits: 8192,
      multi: true,
    },
  ],
  [
    "a WebSocket is accepted",
    { from: "p", id: "0-0-6", seq: 0, code: 101, reason: "Switching Protocols", headers: [], credits: 200_000, ext: { multi: true } },
    { from: "p", id: "0-0-6", seq: 0, code: 101, reason: "Switching Protocols", headers: [], credits: 200_000, multi: true },
  ],
  [
    "a text message",
    { from: "c", id: "0-0-6", seq: 1, "content-type": "text", body: "hello" },
    { from: "c", id: "0-0-6", seq: 1, contentType: "text", body: "hello" },
  ],
  [
    "credits come back",
    { from: "p", id: "0-0-6", seq: 1, type: "credit", credits: 5 },
    { from: "p", id: "0-0-6", seq: 1, type: "credit", credits: 5 },
  ],
  [
    "a fragment",
    { from: "c", id: "0-0-6", seq: 5, "content-type": "text", body: "fr1", more: true },
    { from: "c", id: "0-0-6", seq: 5, contentType: "text", body: "fr1", more: true },
  ],
  [
    "a ping",
    { from: "c", id: "0-0-6", seq: 8, type: "ping", body: "pp" },
    { from: "c", id: "0-0-6", seq: 8, type: "ping", body: "pp" },
  ],
  [
    "no credits, after a ping to zurl",
    { from: "z", id: "x", seq: 8, type: "credit", credits: 0 },
    { from: "z", id: "x", seq: 8, type: "credit" },
  ],
  [
    "a close with code and reason",
    { from: "c", id: "0-0-6", seq: 10, type: "close", code: 4000, body: "done" },
    { from: "c", id: "0-0-6", seq: 10, type: "close", code: 4000, body: "done" },
  ],
  [
    "keep-alives for several sessions",
    {
      from: "condure",
      id: [
        { id: "0-0-b", seq: 6 },
        { id: "0-1-c", seq: 6 },
      ],
      ext: { multi: true },
      type: "keep-alive",
    },
    {
      from: "condure",
      ids: [
        { id: "0-0-b", seq: 6 },
        { id: "0-1-c", seq: 6 },
      ],
      multi: true,
      type: "keep-alive",
    },
  ],
  [
    "a request to a zhttpreq service",
    {
      from: "pushpin-proxy_1",
      id: "r1",
      method: "GET",
      uri: "http://h/",
      headers: HEADERS,
      "max-size": 1_000_000,
      "ignore-policies": true,
    },
    {
      from: "pushpin-proxy_1",
      id: "r1",
      method: "GET",
      uri: "http://h/",
      headers: FLAT,
      maxSize: 1_000_000,
      ignorePolicies: true,
    },
  ],
];

describe("given packets seen between processes of the original", () => {
  test.each(BYTES)("when it is '%s', then its bytes are understood", (_what, text, expected) => {
    expect(shown(decoded(Buffer.from(text, "latin1")))).toEqual(expected);
  });

  test.each(FIELDS)(
    "when it is '%s', then it is understood, and ours says the same",
    (_what, fields, expected) => {
      const packet = decoded(Buffer.concat([Buffer.from("T"), encode(fields)]));
      expect(shown(packet)).toEqual(expected);
      expect(shown(decoded(encodePacket(packet)))).toEqual(expected);
    },
  );

  test("when it is a request of the handler, then its passthrough data come through", () => {
    const fields = {
      seq: 0,
      ext: { multi: true },
      id: "943a0b92",
      from: "pushpin-handler_27199",
      credits: 200_000,
      stream: true,
      passthrough: {
        route: "*,*,*,*",
        trusted: true,
        "auto-share": true,
        "prefer-internal": true,
      },
      method: "GET",
      uri: "http://h/next2",
    };
    const packet = decoded(Buffer.concat([Buffer.from("T"), encode(fields)]));
    expect(packet.passthrough).toEqual(
      new Map<string, unknown>([
        ["route", "*,*,*,*"],
        ["trusted", true],
        ["auto-share", true],
        ["prefer-internal", true],
      ]),
    );
    expect(decoded(encodePacket(packet)).passthrough).toEqual(packet.passthrough);
  });
});
