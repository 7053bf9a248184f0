import { type Bytes, fail, ok, type Result, toByteString } from "@pushpin/tnetstrings";
import {
  renderTemplate,
  type TemplateResolver,
  TemplateStream,
  variableResolver,
} from "./template.ts";

type Encode = (id: string) => string;

/** `id_encoding` of the subscription's meta. */
function idEncoder(subMeta: ReadonlyMap<string, string>): Result<Encode> {
  const encoding = subMeta.get("id_encoding") ?? "";
  if (encoding === "") return ok((id) => id);
  if (encoding !== "hex") return fail(`unsupported encoding: ${encoding}`);
  return ok((id) => Buffer.from(id, "latin1").toString("hex"));
}

/** `%I` and `%(id)I` in content. */
function idResolver(encode: Encode, defaultId: string | undefined): TemplateResolver {
  return (directive, argument, position) => {
    if (directive !== "I") return fail(`Unknown directive '${directive}' at position ${position}`);
    const id = argument ?? defaultId;
    return id === undefined
      ? fail(`No ID specified and no default ID in context at position ${position}`)
      : ok(encode(id));
  };
}

/** The `id_format` of a subscription with the ids its channels have after the item. */
export function renderMessageId(
  subMeta: ReadonlyMap<string, string>,
  prevIds: ReadonlyMap<string, string>,
): Result<string> {
  const format = subMeta.get("id_format");
  if (format === undefined) return fail("no sub meta 'id_format'");
  const id = renderTemplate(format, variableResolver(prevIds));
  return id.ok ? id : fail(`failed to render ID: ${id.error}`);
}

/** The `build-id` filter on the content of an item. */
export function buildIdContent(
  subMeta: ReadonlyMap<string, string>,
  prevIds: ReadonlyMap<string, string>,
  content: Bytes,
): Result<Bytes> {
  const id = renderMessageId(subMeta, prevIds);
  if (!id.ok) return id;
  const encode = idEncoder(subMeta);
  if (!encode.ok) return encode;
  return renderTemplate(toByteString(content), idResolver(encode.value, id.value));
}

/**
 * Filters of an instruct's channels on the body that came with it, chunk by chunk. No ids are known
 * yet, so `%I` needs an argument (handler.md 6.4).
 */
export class InitialBodyFilter {
  readonly #stream: TemplateStream | undefined;
  readonly #error: string | undefined;

  constructor(instruct: {
    readonly channels: readonly { readonly filters: readonly string[] }[];
    readonly meta: ReadonlyMap<string, string>;
  }) {
    if (!instruct.channels.some(({ filters }) => filters.includes("build-id"))) return;
    const encode = idEncoder(instruct.meta);
    if (encode.ok) this.#stream = new TemplateStream(idResolver(encode.value, undefined));
    else this.#error = encode.error;
  }

  /** Whether the body changes at all. */
  get isActive(): boolean {
    return this.#stream !== undefined || this.#error !== undefined;
  }

  /** The error is the text for debug: `filter error: build-id: ...`. */
  update(chunk: Bytes): Result<Bytes> {
    if (this.#stream === undefined && this.#error === undefined) return ok(chunk);
    return this.#named(this.#stream?.update(toByteString(chunk)));
  }

  finish(): Result<Bytes> {
    if (this.#stream === undefined && this.#error === undefined) return ok("");
    return this.#named(this.#stream?.finish());
  }

  #named(result: Result<Bytes> | undefined): Result<Bytes> {
    if (result?.ok) return result;
    return fail(`filter error: build-id: ${result?.error ?? this.#error}`);
  }
}
