/** How one key is read: its type, default, unit and range, declared once. */
export interface Setting<T> {
  readonly kind: "boolean" | "integer" | "octal" | "text" | "list" | "choice" | "workers";
  readonly fallback: T;
  /** What it is for, in a sentence of the reference page; `Not used` if nothing reads it. */
  readonly about: string;
  /** In force after SIGHUP; all others need a restart. */
  readonly isLive?: boolean;
  readonly unit?: string;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** Read a value as written; an error says what is allowed. */
  parse(items: readonly string[]): { ok: true; value: T } | { ok: false; error: string };
}

export interface Section<S extends Record<string, Setting<unknown>>> {
  readonly name: string;
  readonly settings: S;
}

export type SettingsOf<X> =
  X extends Section<infer S>
    ? { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never }
    : never;

export function section<S extends Record<string, Setting<unknown>>>(
  name: string,
  settings: S,
): Section<S> {
  return { name, settings };
}

/** Limit: worker processes of one role. Unit: processes. */
export const WORKERS_MAX = 64;

const TRUE = new Set(["true", "1", "yes", "on"]);
const FALSE = new Set(["", "false", "0", "no", "off"]);

interface Live {
  readonly isLive?: boolean;
}

const live = ({ isLive }: Live): Live => (isLive === undefined ? {} : { isLive });

export function boolean(
  options: { default: boolean; about: string } & Live,
): Setting<boolean> {
  return {
    kind: "boolean",
    fallback: options.default,
    about: options.about,
    ...live(options),
    parse(items) {
      const text = items.join(",").trim().toLowerCase();
      if (TRUE.has(text)) return { ok: true, value: true };
      if (FALSE.has(text)) return { ok: true, value: false };
      return { ok: false, error: "expected true or false" };
    },
  };
}

export function integer(
  options: {
    default: number;
    about: string;
    min?: number;
    max?: number;
    unit?: string;
  } & Live,
): Setting<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options;
  return {
    kind: "integer",
    fallback: options.default,
    about: options.about,
    ...live(options),
    min,
    max,
    ...(options.unit === undefined ? {} : { unit: options.unit }),
    parse(items) {
      const text = items.join(",").trim();
      const value = /^[+-]?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      if (Number.isNaN(value)) return { ok: false, error: "expected a whole number" };
      if (value < min || value > max)
        return { ok: false, error: `expected a number from ${min} to ${max}` };
      return { ok: true, value };
    },
  };
}

/** A number of worker processes, or `auto`; undefined where the key is absent or empty. */
export function workers(options: {
  auto: () => number;
  about: string;
}): Setting<number | undefined> {
  return {
    kind: "workers",
    fallback: undefined,
    about: options.about,
    min: 1,
    max: WORKERS_MAX,
    parse(items) {
      const text = items.join(",").trim();
      if (text === "") return { ok: true, value: undefined };
      if (text === "auto") return { ok: true, value: Math.min(options.auto(), WORKERS_MAX) };
      const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
      if (value < 1 || value > WORKERS_MAX)
        return { ok: false, error: `expected auto or a number from 1 to ${WORKERS_MAX}` };
      return { ok: true, value };
    },
  };
}

export function octal(options: { about: string }): Setting<number | undefined> {
  return {
    kind: "octal",
    fallback: undefined,
    about: options.about,
    parse(items) {
      const text = items.join(",").trim();
      if (text === "" || text === "-1") return { ok: true, value: undefined };
      if (!/^[0-7]{1,5}$/.test(text))
        return { ok: false, error: "expected an octal file mode such as 660" };
      return { ok: true, value: Number.parseInt(text, 8) };
    },
  };
}

export function text(options: { default: string; about: string } & Live): Setting<string> {
  return {
    kind: "text",
    fallback: options.default,
    about: options.about,
    ...live(options),
    parse: (items) => ({ ok: true, value: items.join(",") }),
  };
}

/** Absent and empty are different here: undefined, and the empty text. */
export function optionalText(options: { about: string }): Setting<string | undefined> {
  return {
    kind: "text",
    fallback: undefined,
    about: options.about,
    parse: (items) => ({ ok: true, value: items.join(",") }),
  };
}

export function list(
  options: {
    default?: readonly string[];
    about: string;
  } & Live,
): Setting<readonly string[]> {
  return {
    kind: "list",
    fallback: options.default ?? [],
    about: options.about,
    ...live(options),
    parse: (items) => ({ ok: true, value: items.filter((one) => one !== "") }),
  };
}

export function choice<T extends string>(
  values: readonly T[],
  fallback: T,
  about: string,
): Setting<T> {
  return {
    kind: "choice",
    fallback,
    about,
    choices: values,
    parse(items) {
      const value = values.find((one) => one === items.join(",").trim());
      if (value === undefined) return { ok: false, error: `expected one of ${values.join(", ")}` };
      return { ok: true, value };
    },
  };
}
