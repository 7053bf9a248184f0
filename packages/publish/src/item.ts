import type { TnetInput } from "@pushpin/tnetstrings";
import type { PublishArguments } from "./arguments.ts";

/** What is published: text from the command line, or bytes of a file. */
export interface Content {
  readonly bytes: Buffer;
  /** From a file: nothing is appended to it. */
  readonly isVerbatim: boolean;
}

/** Thrown for content that cannot be made an item of; the message is for the user. */
export class ContentError extends Error {}

/** An item as both transports send it; buffers are binary content. */
export interface Item {
  readonly [name: string]: ItemValue;
}
export type ItemValue = string | number | boolean | null | Buffer | Item | readonly ItemValue[];

type ItemArguments = Pick<
  PublishArguments,
  | "channel"
  | "id"
  | "prevId"
  | "sender"
  | "code"
  | "headers"
  | "meta"
  | "action"
  | "isPatch"
  | "noSeq"
  | "noEol"
>;

/** Members are in alphabetical order, as the original writes them. */
export function makeItem(given: ItemArguments, content: Content | undefined): Item {
  // A sender among the meta values wins over the option.
  const meta = [...(given.sender === "" ? [] : [["sender", given.sender] as const]), ...given.meta];
  return {
    channel: given.channel,
    formats: formatsOf(given, content),
    ...(given.id === "" ? {} : { id: given.id }),
    ...(meta.length === 0 ? {} : { meta: Object.fromEntries(meta.sort(byName)) }),
    ...(given.noSeq ? { "no-seq": true } : {}),
    ...(given.prevId === "" ? {} : { "prev-id": given.prevId }),
  };
}

function byName(one: readonly [string, unknown], other: readonly [string, unknown]): number {
  if (one[0] === other[0]) return 0;
  return one[0] < other[0] ? -1 : 1;
}

function formatsOf(given: ItemArguments, content: Content | undefined): Item {
  const { action } = given;
  if (action === "hint")
    return {
      "http-response": { action },
      "http-stream": { action },
      "ws-message": { action },
    };
  if (action === "close") return { "http-stream": { action }, "ws-message": { action } };
  const bytes = content?.bytes ?? Buffer.alloc(0);
  const response = {
    code: given.code,
    ...(given.headers.length === 0 ? {} : { headers: given.headers }),
  };
  if (given.isPatch) return { "http-response": { "body-patch": patchOf(bytes), ...response } };
  const isVerbatim = content?.isVerbatim ?? false;
  const line = given.noEol || isVerbatim ? bytes : Buffer.concat([bytes, Buffer.from("\n")]);
  if (isUtf8(bytes)) {
    return {
      "http-response": { body: line.toString(), ...response },
      "http-stream": { content: line.toString() },
      "ws-message": { content: bytes.toString() },
    };
  }
  return {
    "http-response": { "body-bin": line, ...response },
    "http-stream": { "content-bin": line },
    "ws-message": { "content-bin": bytes },
  };
}

function patchOf(bytes: Buffer): readonly ItemValue[] {
  try {
    const patch: unknown = JSON.parse(bytes.toString());
    // Parsed JSON holds nothing but item values.
    if (Array.isArray(patch)) return patch.map((one) => sorted(one as ItemValue));
  } catch {
    // Said below.
  }
  throw new ContentError("patch content must be a JSON array");
}

/** The same with the members of every object in alphabetical order. */
function sorted(value: ItemValue): ItemValue {
  if (Array.isArray(value)) return value.map((one) => sorted(one as ItemValue));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, one]) => [name, sorted(one)] as const);
  return Object.fromEntries(members.sort(byName));
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString()).equals(bytes);
}

/** The body of an HTTP publish: binary content in base64. */
export function toJson(items: readonly Item[]): string {
  return JSON.stringify({ items: items.map(withBase64) });
}

function withBase64(value: ItemValue): unknown {
  if (Buffer.isBuffer(value)) return value.toString("base64");
  if (Array.isArray(value)) return value.map((one) => withBase64(one as ItemValue));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, withBase64(one as ItemValue)]),
  );
}

/** The same for ZeroMQ, where every text is bytes and nothing is base64. */
export function toTnet(item: Item): TnetInput {
  const formats = item["formats"] as Item;
  const response = formats["http-response"] as Item | undefined;
  const stream = formats["http-stream"] as Item | undefined;
  return toBytes({
    ...item,
    formats: {
      ...formats,
      ...(response === undefined ? {} : { "http-response": renamed(response, "body-bin", "body") }),
      ...(stream === undefined ? {} : { "http-stream": renamed(stream, "content-bin", "content") }),
    },
  });
}

function renamed(format: Item, from: string, to: string): Item {
  const { [from]: value, ...rest } = format;
  return value === undefined ? format : { ...rest, [to]: value };
}

function toBytes(value: ItemValue): TnetInput {
  if (typeof value === "string") return Buffer.from(value).toString("latin1");
  if (Buffer.isBuffer(value) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => toBytes(one as ItemValue));
  return new Map(
    Object.entries(value).map(([name, one]) => [
      Buffer.from(name).toString("latin1"),
      toBytes(one as ItemValue),
    ]),
  );
}
