import {
  decode,
  encode,
  fail,
  ok,
  type Result,
  type Tnet,
  type TnetInput,
  type TnetMap,
  toByteString,
  toUtf8,
} from "@pushpin/tnetstrings";

export const STATS_TOPICS = [
  "activity",
  "message",
  "conn",
  "sub",
  "report",
  "counts",
  "conn-max",
] as const;
export type StatsTopic = (typeof STATS_TOPICS)[number];

export type StatsFormat = "tnetstring" | "json";

/** Members of a packet; undefined ones are left out. Texts are byte strings. */
export type StatsFields = Readonly<Record<string, TnetInput | undefined>>;

export interface StatsPacket {
  readonly topic: StatsTopic;
  readonly fields: TnetMap;
}

/** `<topic> T<tnetstring>` or `<topic> J<json>`, one part (wire.md 5.6). */
export function encodeStatsPacket(
  topic: StatsTopic,
  fields: StatsFields,
  format: StatsFormat,
): Buffer {
  if (format === "json") {
    const shown: Record<string, unknown> = {};
    // In alphabetical order, as the original's.
    for (const name of Object.keys(fields).sort()) {
      const value = fields[name];
      if (value !== undefined) shown[name] = typeof value === "string" ? toUtf8(value) : value;
    }
    return Buffer.from(`${topic} J${JSON.stringify(shown)}`);
  }
  return Buffer.concat([Buffer.from(`${topic} T`), encode(fields)]);
}

/** Reads what another process published; only tnetstrings are taken. */
export function decodeStatsPacket(frame: Uint8Array): Result<StatsPacket> {
  const at = frame.indexOf(0x20);
  if (at < 0 || frame[at + 1] !== 0x54) return fail("not a tnetstring packet");
  const name = Buffer.from(frame.buffer, frame.byteOffset, at).toString("latin1");
  const topic = STATS_TOPICS.find((one) => one === name);
  if (topic === undefined) return fail("unknown topic");
  const decoded = decode(frame.subarray(at + 2));
  if (!decoded.ok) return decoded;
  if (!(decoded.value instanceof Map)) return fail("packet is not a map");
  return ok({ topic, fields: decoded.value });
}

/** The `conn-max` argument of a call: a list of packets, of which only readable ones are taken. */
export function readConnectionMaxima(value: Tnet | undefined): readonly StatsPacket[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((one) => one instanceof Map)
    .map((fields) => ({ topic: "conn-max" as const, fields }));
}

/** Text of a member; empty if there is none. */
export function textOf(fields: TnetMap, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" || value instanceof Uint8Array ? toByteString(value) : "";
}

/** Amount in a member; 0 if it is none. */
export function countOf(fields: TnetMap, name: string): number {
  const value = fields.get(name);
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
