import { decode, encode, fail, ok, type Result, type TnetInput, type TnetMap, toUtf8 } from "@pushpin/tnetstrings";

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
    for (const [name, value] of Object.entries(fields))
      if (value !== undefined) shown[name] = typeof value === "string" ? toUtf8(value) : value;
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
