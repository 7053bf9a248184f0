import { type JsonValue, toJsonValue } from "@pushpin/grip";
import { decode, fail, ok, type Result } from "@pushpin/tnetstrings";

/** One packet of the statistics socket, ready to be shown. */
export interface ShownPacket {
  readonly topic: string;
  readonly fields: Readonly<Record<string, JsonValue>>;
}

/** Reads `<topic> T<tnetstring>` or `<topic> J<json>` (wire.md 5.6). */
export function readPacket(frame: Uint8Array): Result<ShownPacket> {
  const at = frame.indexOf(0x20);
  if (at <= 0) return fail("no topic");
  const topic = Buffer.from(frame.subarray(0, at)).toString("latin1");
  const body = frame.subarray(at + 2);
  let value: JsonValue;
  if (frame[at + 1] === 0x4a) {
    try {
      value = JSON.parse(Buffer.from(body).toString("utf8")) as JsonValue;
    } catch {
      return fail("not JSON");
    }
  } else if (frame[at + 1] === 0x54) {
    const decoded = decode(body);
    if (!decoded.ok) return decoded;
    value = toJsonValue(decoded.value);
  } else return fail("unknown format");
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail("packet is not a map");
  return ok({ topic, fields: value as ShownPacket["fields"] });
}

export function textOf({ fields }: ShownPacket, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

export function countOf({ fields }: ShownPacket, name: string): number {
  const value = fields[name];
  return typeof value === "number" && value > 0 ? value : 0;
}
