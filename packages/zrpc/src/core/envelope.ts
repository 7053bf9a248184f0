import {
  type Bytes,
  decode,
  encode,
  encodeByteString,
  Encoded,
  Fields,
  fail,
  lengthPrefix,
  ok,
  type Result,
  type Tnet,
  type TnetInput,
  type TnetMap,
} from "@pushpin/tnetstrings";

/** A question: `{id?, from?, method, args?}`; without an id it may be one that wants no answer. */
export interface RpcRequest {
  readonly id: string | undefined;
  readonly from: string | undefined;
  readonly method: string;
  readonly args: TnetMap;
}

export type RpcResult =
  | { readonly success: true; readonly value: Tnet }
  | { readonly success: false; readonly condition: string; readonly value?: Tnet };

export type RpcReply =
  | { readonly success: true; readonly value: TnetInput }
  | { readonly success: false; readonly condition: string; readonly value?: TnetInput };

export function encodeRequest(request: {
  id?: string;
  from?: string;
  method: string;
  args?: TnetInput;
}): Buffer {
  return encode({ id: request.id, from: request.from, method: request.method, args: request.args });
}

/** Limit: requests or responses in one frame; what stands behind them is not looked at. Unit: messages. */
export const RPC_BATCH_MAX = 16;
const BATCH = 0x42; // B
const COLON = 0x3a;

/** Several requests, or several responses, as one frame: `B`, then one after the other. */
export function joinFrames(frames: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.of(BATCH), ...frames]);
}

/** What `joinFrames` was given, as views; any other frame by itself. What is not whole is the last. */
export function splitFrame(frame: Buffer): Buffer[] {
  if (frame[0] !== BATCH) return [frame];
  const frames: Buffer[] = [];
  for (let at = 1; at < frame.length; ) {
    let end = at;
    let bytes = 0;
    for (; end < frame.length && frame[end] !== COLON; end += 1)
      bytes = bytes * 10 + (frame[end] as number) - 0x30;
    end += bytes + 2;
    // Whoever decodes it says what is wrong with it.
    if (!(end > at && end <= frame.length)) end = frame.length;
    if (frames.length === RPC_BATCH_MAX - 1) end = frame.length; // Limit: RPC_BATCH_MAX
    frames.push(frame.subarray(at, end));
    at = end;
  }
  return frames;
}

export function decodeRequest(frame: Uint8Array): Result<RpcRequest> {
  const decoded = decode(frame);
  if (!decoded.ok) return decoded;
  if (!(decoded.value instanceof Map)) return fail("request is not a map");
  const fields = new Fields(decoded.value, "request");
  const request = {
    id: fields.text("id"),
    from: fields.text("from"),
    method: fields.requiredText("method"),
    args: fields.map("args") ?? new Map(),
  };
  return fields.error === undefined ? ok(request) : fail(fields.error);
}

/** The answer has an id if the question had one. */
export function encodeResponse(id: string | undefined, reply: RpcReply): Buffer {
  if (reply.success) return encode({ id, success: true, value: reply.value });
  return encode({ id, success: false, condition: reply.condition, value: reply.value });
}

export function decodeResponse(frame: Uint8Array): Result<{ id: string; result: RpcResult }> {
  const decoded = decode(frame);
  if (!decoded.ok) return decoded;
  if (!(decoded.value instanceof Map)) return fail("response is not a map");
  const fields = new Fields(decoded.value, "response");
  const id = fields.requiredText("id");
  const success = fields.requiredBoolean("success");
  const value = fields.raw("value");
  const condition = fields.text("condition") ?? "";
  if (success && value === undefined) fields.fail("value", "missing");
  if (fields.error !== undefined) return fail(fields.error);
  if (success) return ok({ id, result: { success: true, value: value ?? null } });
  return ok({
    id,
    result: { success: false, condition, ...(value === undefined ? {} : { value }) },
  });
}

/** Header list of the wire: pairs; of ours: flat. */
export function encodePairs(headers: readonly string[]): Encoded {
  let out = "";
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const pair = encodeByteString(headers[i] as string) + encodeByteString(headers[i + 1] as string);
    out += `${lengthPrefix(pair.length)}${pair}]`;
  }
  return new Encoded(`${lengthPrefix(out.length)}${out}]`);
}

export function decodePairs(list: readonly Tnet[]): string[] | undefined {
  const flat: string[] = [];
  for (const pair of list) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    for (const text of pair) {
      if (typeof text === "string") flat.push(text);
      else if (text instanceof Uint8Array) flat.push(Buffer.from(text).toString("latin1"));
      else return undefined;
    }
  }
  return flat;
}

export type { Bytes };
