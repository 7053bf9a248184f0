import { createHmac, createPrivateKey, type KeyObject, sign, timingSafeEqual } from "node:crypto";

/** A key as configured: a shared secret, or a private key that signs. */
export type SigningKey =
  | { readonly kind: "secret"; readonly secret: Buffer }
  | { readonly kind: "private"; readonly key: KeyObject; readonly algorithm: "ES256" | "RS256" };

/** Tokens are valid for this long. Unit: seconds. */
export const TOKEN_LIFETIME_S = 3600;

/**
 * Reads `text`, `base64:TEXT` or, with the file's contents already fetched, PEM or hex
 * (proxy.md 3.5). Empty is no key.
 *
 * @throws Error that says why a key cannot be used.
 */
export function parseKey(text: string, readFile: (path: string) => Buffer): SigningKey | undefined {
  if (text === "") return undefined;
  if (text.startsWith("base64:"))
    return secretOf(Buffer.from(text.slice("base64:".length), "base64"));
  if (!text.startsWith("file:")) return secretOf(Buffer.from(text, "utf8"));
  const content = readFile(text.slice("file:".length));
  if (!content.includes("-----BEGIN"))
    return secretOf(Buffer.from(content.toString("latin1").trim(), "hex"));
  const key = createPrivateKey(content);
  return { kind: "private", key, algorithm: key.asymmetricKeyType === "ec" ? "ES256" : "RS256" };
}

function secretOf(secret: Buffer): SigningKey | undefined {
  return secret.length === 0 ? undefined : { kind: "secret", secret };
}

/** Signs `Grip-Sig` tokens, one signature per issuer, key and second. */
export class Signer {
  readonly #cache = new Map<string, { second: number; token: string }>();

  token(issuer: string, key: SigningKey, wallMs: number): string {
    const second = Math.floor(wallMs / 1000);
    const cacheKey =
      key.kind === "secret"
        ? `${issuer} ${key.secret.toString("latin1")}`
        : `${issuer} ${key.algorithm}`;
    const cached = this.#cache.get(cacheKey);
    if (cached?.second === second) return cached.token;
    const token = signToken({ exp: second + TOKEN_LIFETIME_S, iss: issuer }, key);
    if (this.#cache.size > 1000) this.#cache.clear();
    this.#cache.set(cacheKey, { second, token });
    return token;
  }
}

function encodePart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A compact JWT with members in the given order. */
export function signToken(claims: object, key: SigningKey): string {
  const algorithm = key.kind === "secret" ? "HS256" : key.algorithm;
  const input = `${encodePart({ typ: "JWT", alg: algorithm })}.${encodePart(claims)}`;
  if (key.kind === "secret")
    return `${input}.${createHmac("sha256", key.secret).update(input).digest("base64url")}`;
  const signature = sign("sha256", Buffer.from(input), { key: key.key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

/** Whether an HS256 token is signed with the secret and not expired; other claims are not looked at. */
export function verifyToken(token: string, secret: Buffer, wallMs: number): boolean {
  const [head = "", claims = "", signature = "", rest] = token.split(".");
  if (rest !== undefined || secret.length === 0) return false;
  const expected = createHmac("sha256", secret).update(`${head}.${claims}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return false;
  try {
    const header: unknown = JSON.parse(Buffer.from(head, "base64url").toString());
    const body: unknown = JSON.parse(Buffer.from(claims, "base64url").toString());
    if ((header as { alg?: unknown }).alg !== "HS256") return false;
    const exp = (body as { exp?: unknown }).exp;
    return typeof exp === "number" && Number.isInteger(exp) && exp > Math.floor(wallMs / 1000);
  } catch {
    return false;
  }
}
