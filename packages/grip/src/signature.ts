import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";

type KeyAlgorithm = "ES256" | "RS256";

/** A key as configured: a shared secret, or a private key that signs. */
export type SigningKey =
  | { readonly kind: "secret"; readonly secret: Buffer }
  | {
      readonly kind: "private";
      readonly key: KeyObject;
      readonly algorithm: KeyAlgorithm;
    };

/** What a client's token is checked with: a shared secret, or a public key. */
export type VerificationKey =
  | { readonly kind: "secret"; readonly secret: Buffer }
  | {
      readonly kind: "public";
      readonly key: KeyObject;
      readonly algorithm: KeyAlgorithm;
    };

/** Tokens are valid for this long. Unit: seconds. */
export const TOKEN_LIFETIME_S = 3600;
/** Limit: tokens of different issuers and keys that are kept. */
const CACHED_TOKENS_MAX = 1000;
/** Limit: longer tokens are not looked at. */
const TOKEN_MAX_BYTES = 16_384;

type ReadFile = (path: string) => Buffer;
type Secret = { readonly kind: "secret"; readonly secret: Buffer };

/**
 * Reads `text`, `base64:TEXT` or, with the file's contents already fetched, PEM or hex
 * (proxy.md 3.5). Empty is no key.
 *
 * @throws Error that says why a key cannot be used.
 */
export function parseKey(text: string, readFile: ReadFile): SigningKey | undefined {
  const key = readKey(text, readFile);
  if (!Buffer.isBuffer(key)) return key;
  const privateKey = createPrivateKey(key);
  return {
    kind: "private",
    key: privateKey,
    algorithm: algorithmOf(privateKey),
  };
}

/**
 * The same for a key that only checks (`upstream_key`): PEM is a public key, or a private one whose
 * public half is taken.
 *
 * @throws Error that says why a key cannot be used.
 */
export function parseVerificationKey(
  text: string,
  readFile: ReadFile,
): VerificationKey | undefined {
  const key = readKey(text, readFile);
  if (!Buffer.isBuffer(key)) return key;
  const publicKey = createPublicKey(key);
  return { kind: "public", key: publicKey, algorithm: algorithmOf(publicKey) };
}

/** A secret, or the contents of a PEM file. */
function readKey(text: string, readFile: ReadFile): Secret | Buffer | undefined {
  if (text === "") return undefined;
  if (text.startsWith("base64:"))
    return secretOf(Buffer.from(text.slice("base64:".length), "base64"));
  if (!text.startsWith("file:")) return secretOf(Buffer.from(text, "utf8"));
  const content = readFile(text.slice("file:".length));
  if (content.includes("-----BEGIN")) return content;
  const hex = content.toString("latin1").trim();
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex)) throw new Error("key file is neither PEM nor hex text");
  return secretOf(Buffer.from(hex, "hex"));
}

function secretOf(secret: Buffer): Secret | undefined {
  return secret.length === 0 ? undefined : { kind: "secret", secret };
}

function algorithmOf(key: KeyObject): KeyAlgorithm {
  if (key.asymmetricKeyType === "rsa") return "RS256";
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1")
    return "ES256";
  throw new Error("key is neither RSA nor EC on P-256");
}

/** Signs `Grip-Sig` tokens, one signature per issuer, key and second. */
export class Signer {
  /** By key object: equal texts of different keys must never share a token. */
  #cache = new Map<SigningKey, Map<string, { second: number; token: string }>>();
  #size = 0;

  token(issuer: string, key: SigningKey, wallMs: number): string {
    const second = Math.floor(wallMs / 1000);
    const cached = this.#cache.get(key)?.get(issuer);
    if (cached?.second === second) return cached.token;
    const token = signToken({ exp: second + TOKEN_LIFETIME_S, iss: issuer }, key);
    if (cached === undefined) this.#size += 1;
    // Limit: CACHED_TOKENS_MAX
    if (this.#size > CACHED_TOKENS_MAX) {
      this.#cache.clear();
      this.#size = 1;
    }
    let byIssuer = this.#cache.get(key);
    if (byIssuer === undefined) {
      byIssuer = new Map();
      this.#cache.set(key, byIssuer);
    }
    byIssuer.set(issuer, { second, token });
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
  const signature = sign("sha256", Buffer.from(input), {
    key: key.key,
    dsaEncoding: "ieee-p1363",
  });
  return `${input}.${signature.toString("base64url")}`;
}

/**
 * Whether a token is signed with the key, by the key's algorithm, and not expired (proxy.md 3.3);
 * claims other than `exp` are not looked at. An empty secret verifies nothing. Never throws.
 */
export function verifyToken(
  token: string,
  given: VerificationKey | Buffer,
  wallMs: number,
): boolean {
  const key: VerificationKey = Buffer.isBuffer(given) ? { kind: "secret", secret: given } : given;
  if (token.length > TOKEN_MAX_BYTES) return false;
  const [head = "", claims = "", signature = "", rest] = token.split(".");
  if (rest !== undefined || (key.kind === "secret" && key.secret.length === 0)) return false;
  const header = decodePart(head);
  if (header === undefined || header["alg"] !== (key.kind === "secret" ? "HS256" : key.algorithm))
    return false;
  const input = Buffer.from(`${head}.${claims}`, "latin1");
  if (!isSignature(input, Buffer.from(signature, "base64url"), key)) return false;
  const exp = decodePart(claims)?.["exp"];
  return typeof exp === "number" && Number.isInteger(exp) && exp > wallMs / 1000;
}

function isSignature(input: Buffer, signature: Buffer, key: VerificationKey): boolean {
  if (key.kind === "secret") {
    const expected = createHmac("sha256", key.secret).update(input).digest();
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  }
  try {
    return verify("sha256", input, { key: key.key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

function decodePart(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
