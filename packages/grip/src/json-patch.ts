import { type Bytes, fail, fromUtf8, ok, type Result, toUtf8 } from "@pushpin/tnetstrings";
import { applyPatch, type Operation } from "rfc6902";
import { JSON_DEPTH_MAX, type JsonObject, type JsonValue, renderJson } from "./json.ts";

/** Limit: operations of one patch. */
export const PATCH_OPERATIONS_MAX = 10_000;
/** Limit: what `copy` may add to a document; a few copies of copies would fill any memory. */
export const PATCH_GROWTH_MAX_BYTES = 10_000_000;

const FAILED = "failed to apply JSON patch";

/**
 * Applies a JSON Patch (RFC 6902) to a JSON object or array. The result is compact, with sorted
 * keys; a line break at the end of the document stays. The first operation that fails fails all.
 * Neither the patch nor what it holds is changed, so it can be applied again.
 */
export function applyJsonPatch(body: Bytes, patch: readonly JsonValue[]): Result<Bytes> {
  if (patch.length > PATCH_OPERATIONS_MAX) return fail(`${FAILED}: too many operations`);
  const text = toUtf8(body);
  let document: JsonValue;
  try {
    document = JSON.parse(text) as JsonValue;
  } catch {
    return fail(`${FAILED}: body is not JSON`);
  }
  if (!isContainer(document)) return fail(`${FAILED}: body is not an object or array`);
  if (weigh(document) === undefined) return fail(`${FAILED}: body is nested too deep`);
  // The library cannot replace the root, so it works one level below.
  const holder: JsonObject = { root: document };
  const budget = { leftBytes: PATCH_GROWTH_MAX_BYTES };
  for (const [index, operation] of patch.entries()) {
    const error = applyOperation(holder, operation, budget);
    if (error !== undefined) return fail(`${FAILED}: operation ${index}: ${error}`);
  }
  const rendered = renderJson(holder["root"] as JsonValue);
  if (rendered === undefined) return fail(`${FAILED}: result is nested too deep`);
  const lineBreak = /\r?\n$/.exec(text)?.[0] ?? "";
  return ok(fromUtf8(rendered + lineBreak));
}

function applyOperation(
  holder: JsonObject,
  operation: JsonValue,
  budget: { leftBytes: number },
): string | undefined {
  if (!isContainer(operation) || Array.isArray(operation)) return "not an object";
  const op = member(operation, "op");
  const path = parsePointer(member(operation, "path"));
  if (path === undefined) return "bad path";
  const target = find(holder, path);
  const value = member(operation, "value");
  switch (op) {
    case "test":
      if (value === undefined) return "no value";
      return target !== undefined && isEqual(target, value, JSON_DEPTH_MAX)
        ? undefined
        : "test failed";
    case "add":
      if (value === undefined) return "no value";
      if (!canAdd(holder, path)) return "no such place";
      break;
    case "replace":
      if (value === undefined) return "no value";
      if (target === undefined) return "no such member";
      break;
    case "remove":
      if (path.length === 1) return "the root cannot be removed";
      if (target === undefined) return "no such member";
      break;
    case "move":
    case "copy": {
      const from = parsePointer(member(operation, "from"));
      if (from === undefined) return "bad from";
      const source = find(holder, from);
      if (source === undefined) return "no such member to take";
      if (op === "move") {
        if (isPrefix(from, path)) return from.length === path.length ? undefined : "into itself";
        if (from.length === 1) return "the root cannot be moved";
      } else {
        const bytes = weigh(source);
        // Limit: PATCH_GROWTH_MAX_BYTES
        if (bytes === undefined || bytes > budget.leftBytes) return "grows too large";
        budget.leftBytes -= bytes;
      }
      if (!canAdd(holder, path)) return "no such place";
      break;
    }
    default:
      return "unknown op";
  }
  const below = {
    ...operation,
    path: `/root${operation["path"] as string}`,
    ...(op === "move" || op === "copy" ? { from: `/root${operation["from"] as string}` } : {}),
  };
  try {
    const [error] = applyPatch(holder, [below as unknown as Operation]);
    return error === null || error === undefined ? undefined : error.name;
  } catch (error) {
    return (error as Error).message;
  }
}

function isContainer(value: JsonValue): value is JsonValue[] | JsonObject {
  return typeof value === "object" && value !== null;
}

function member(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Names the library treats specially, so that no pointer may contain them. */
const REFUSED: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** Reference tokens below the holder; undefined if it is no pointer. */
function parsePointer(pointer: JsonValue | undefined): string[] | undefined {
  if (typeof pointer !== "string" || (pointer !== "" && pointer[0] !== "/")) return undefined;
  if (/~(?![01])/.test(pointer)) return undefined;
  const tokens = pointer.split("/").slice(1);
  const path = ["root", ...tokens.map((one) => one.replace(/~1/g, "/").replace(/~0/g, "~"))];
  return path.some((one) => REFUSED.has(one)) ? undefined : path;
}

function find(holder: JsonObject, path: readonly string[]): JsonValue | undefined {
  let at: JsonValue | undefined = holder;
  for (const token of path) {
    if (at === undefined || !isContainer(at)) return undefined;
    if (Array.isArray(at)) at = isIndex(token) ? at[Number(token)] : undefined;
    else at = member(at, token);
  }
  return at;
}

function canAdd(holder: JsonObject, path: readonly string[]): boolean {
  const parent = path.length === 1 ? holder : find(holder, path.slice(0, -1));
  if (parent === undefined || !isContainer(parent)) return false;
  if (!Array.isArray(parent)) return true;
  const token = path[path.length - 1] as string;
  return token === "-" || (isIndex(token) && Number(token) <= parent.length);
}

function isIndex(token: string): boolean {
  return /^(?:0|[1-9]\d{0,8})$/.test(token);
}

function isPrefix(from: readonly string[], path: readonly string[]): boolean {
  return from.length <= path.length && from.every((token, i) => token === path[i]);
}

function isEqual(a: JsonValue, b: JsonValue, depth: number): boolean {
  if (!isContainer(a) || !isContainer(b)) return a === b;
  if (depth === 0 || Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((one, i) => isEqual(one, b[i] as JsonValue, depth - 1));
  const one = a as JsonObject;
  const other = b as JsonObject;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => {
      const theirs = member(other, key);
      return theirs !== undefined && isEqual(one[key] as JsonValue, theirs, depth - 1);
    })
  );
}

/** About as many bytes as its text has; undefined if it is nested too deep. */
function weigh(value: JsonValue, depth = JSON_DEPTH_MAX): number | undefined {
  if (typeof value === "string") return value.length + 2;
  if (!isContainer(value)) return 8;
  if (depth === 0) return undefined;
  let bytes = 2;
  for (const key of Object.keys(value)) {
    const one = weigh((value as JsonObject)[key] as JsonValue, depth - 1);
    if (one === undefined) return undefined;
    bytes += key.length + 4 + one;
  }
  return bytes;
}
