/** Limit: a PROXY protocol header. Unit: bytes; a line of version 1 has at most 107. */
export const PROXY_HEADER_MAX_BYTES = 2048;
const V1_MAX_BYTES = 107;
const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V1_LINE =
  /^PROXY (?:UNKNOWN(?: [\x21-\x7e ]*)?|TCP4 ([\d.]{7,15}) [\d.]{7,15} (\d{1,5}) \d{1,5}|TCP6 ([0-9A-Fa-f:.]{2,45}) [0-9A-Fa-f:.]{2,45} (\d{1,5}) \d{1,5})$/;

export type ProxyHeader =
  | { readonly state: "more" }
  | { readonly state: "error"; readonly error: string }
  | {
      readonly state: "done";
      /** Where the client's own bytes begin. */
      readonly end: number;
      /** Undefined where the balancer speaks for itself. */
      readonly origin: { readonly address: string; readonly port: number } | undefined;
    };

const MORE: ProxyHeader = { state: "more" };

/** Reads what a balancer says of the client in front of a connection (PROXY protocol 1 and 2). */
export function parseProxyHeader(input: Buffer): ProxyHeader {
  if (input.length === 0) return MORE;
  if (input[0] === 0x0d) return parseV2(input);
  return parseV1(input);
}

function failed(error: string): ProxyHeader {
  return { state: "error", error };
}

function parseV1(input: Buffer): ProxyHeader {
  if (!"PROXY ".startsWith(input.toString("latin1", 0, Math.min(6, input.length))))
    return failed("no PROXY header");
  const end = input.indexOf("\r\n");
  if (end < 0) return input.length >= V1_MAX_BYTES ? failed("PROXY header too long") : MORE;
  if (end + 2 > V1_MAX_BYTES) return failed("PROXY header too long");
  const match = V1_LINE.exec(input.toString("latin1", 0, end));
  if (match === null) return failed("malformed PROXY header");
  const address = match[1] ?? match[3];
  const port = Number(match[2] ?? match[4] ?? 0);
  if (port > 65_535) return failed("malformed PROXY header");
  const origin = address === undefined ? undefined : { address, port };
  return { state: "done", end: end + 2, origin };
}

function parseV2(input: Buffer): ProxyHeader {
  const known = Math.min(input.length, V2_SIGNATURE.length);
  if (input.compare(V2_SIGNATURE, 0, known, 0, known) !== 0) return failed("no PROXY header");
  if (input.length < 16) return MORE;
  const command = input[12] as number;
  if (command !== 0x20 && command !== 0x21) return failed("unknown PROXY version or command");
  const family = input[13] as number;
  const length = input.readUInt16BE(14);
  const end = 16 + length;
  if (end > PROXY_HEADER_MAX_BYTES) return failed("PROXY header too long");
  if (input.length < end) return MORE;
  const isLocal = command === 0x20;
  if (isLocal || (family !== 0x11 && family !== 0x21))
    return { state: "done", end, origin: undefined };
  const size = family === 0x11 ? 4 : 16;
  if (length < size * 2 + 4) return failed("malformed PROXY header");
  const bytes = input.subarray(16, 16 + size);
  const address = size === 4 ? bytes.join(".") : renderIpv6(bytes);
  return { state: "done", end, origin: { address, port: input.readUInt16BE(16 + size * 2) } };
}

/** The short text of an IPv6 address, as everybody else writes it. */
function renderIpv6(bytes: Buffer): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(i).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
