import type { TimerWheel, WheelEntry, WheelNode } from "@pushpin/clock";
import { InitialBodyFilter, type Instruct, isGripInstructType, parseInstruct } from "@pushpin/grip";
import { type Bytes, concatBytes } from "@pushpin/tnetstrings";
import type {
  InternalRequest,
  InternalRequestData,
  InternalRequests,
  RequestListener,
} from "../internal-requests.ts";
import type { Due } from "../link-timers.ts";
import { resolveLinks } from "../link-uri.ts";

/** Requests for one link before the stream is given up; the pauses between them double from a second. */
export const LINK_ATTEMPTS = 6;
/** Limit: bytes of a JSON instruct in a link response. */
export const LINK_INSTRUCT_MAX_BYTES = 100_000;

export interface LinkOwner {
  linkRequest(): InternalRequestData;
  /** A piece of the link's body for the client; when it has been written, it is granted again. */
  linkBody(body: Bytes, nowMs: number): void;
  linkDone(instruct: Instruct, nowMs: number): void;
  /** `text` is for the client where it debugs. */
  linkFailed(text: string, nowMs: number): void;
}

/** Follows one next link: retries, the body to the client, the new instruct (handler.md 4.6). */
export class LinkFetch implements RequestListener, Due, WheelEntry {
  wheel?: WheelNode;
  readonly #owner: LinkOwner;
  readonly #requests: InternalRequests;
  readonly #wheel: TimerWheel<Due>;
  readonly #random: () => number;
  readonly #uri: string;
  #request: InternalRequest | undefined;
  #attempts = 0;
  #forwarded = false;
  #instruct: Instruct | undefined;
  #filter: InitialBodyFilter | undefined;
  /** JSON instruct: the whole body is needed first. */
  #buffered: { code: number; headers: string[]; parts: Bytes[]; size: number } | undefined;
  #over = false;
  /** Body bytes written to the client but not yet granted to the proxy. */
  #ungranted = 0;

  constructor(
    owner: LinkOwner,
    uri: string,
    requests: InternalRequests,
    wheel: TimerWheel<Due>,
    random: () => number,
  ) {
    this.#owner = owner;
    this.#uri = uri;
    this.#requests = requests;
    this.#wheel = wheel;
    this.#random = random;
  }

  /** Body bytes have gone to the client. */
  get hasForwarded(): boolean {
    return this.#forwarded;
  }

  start(nowMs: number): void {
    this.#attempts += 1;
    this.#request = this.#requests.start(this.#owner.linkRequest(), this, nowMs);
  }

  /** The client takes more again. */
  drained(): void {
    const bytes = this.#ungranted;
    this.#ungranted = 0;
    if (bytes > 0) this.#request?.grant(bytes);
  }

  cancel(): void {
    this.#over = true;
    this.#wheel.cancel(this);
    const request = this.#request;
    this.#request = undefined;
    request?.cancel();
  }

  due(nowMs: number): void {
    if (!this.#over) this.start(nowMs);
  }

  onHead(code: number, headers: string[], nowMs: number): void {
    if (this.#over) return;
    if (code < 200 || code > 299) {
      this.#again(nowMs);
      return;
    }
    if (isGripInstructType(headers)) {
      this.#buffered = { code, headers, parts: [], size: 0 };
      return;
    }
    this.#parse(code, headers, "", nowMs);
  }

  onBody(body: Bytes, nowMs: number): void {
    if (this.#over) return;
    const buffered = this.#buffered;
    if (buffered !== undefined) {
      buffered.size += body.length;
      // Limit: LINK_INSTRUCT_MAX_BYTES
      if (buffered.size > LINK_INSTRUCT_MAX_BYTES) this.#fail("GRIP instruct too large", nowMs);
      else {
        buffered.parts.push(body);
        this.#request?.grant(body.length);
      }
      return;
    }
    this.#ungranted += body.length;
    this.#forward(body, nowMs);
  }

  onDone(nowMs: number): void {
    this.#request = undefined;
    if (this.#over) return;
    const buffered = this.#buffered;
    if (buffered !== undefined) {
      if (!this.#parse(buffered.code, buffered.headers, concatBytes(buffered.parts), nowMs)) return;
      this.#forward((this.#instruct as Instruct).response.body, nowMs);
    }
    if (this.#over) return;
    const rest = this.#filter?.finish();
    if (rest !== undefined && !rest.ok) {
      this.#fail(rest.error, nowMs);
      return;
    }
    if (rest !== undefined && rest.value.length > 0) this.#owner.linkBody(rest.value, nowMs);
    this.#over = true;
    this.#owner.linkDone(this.#instruct as Instruct, nowMs);
  }

  onFailed(_condition: string, nowMs: number): void {
    this.#request = undefined;
    if (this.#over) return;
    if (this.#forwarded) this.#fail("Failed to retrieve next link.", nowMs);
    else this.#again(nowMs);
  }

  #parse(code: number, headers: string[], body: Bytes, nowMs: number): boolean {
    const given = parseInstruct({ code, reason: "", headers, body });
    const parsed = given.ok ? resolveLinks(given.value, this.#uri) : given;
    if (!parsed.ok) {
      this.#fail(parsed.error, nowMs);
      return false;
    }
    if (parsed.value.hold === "response") {
      this.#fail("Next link returned non-stream hold.", nowMs);
      return false;
    }
    this.#instruct = parsed.value;
    const filter = new InitialBodyFilter(parsed.value);
    this.#filter = filter.isActive ? filter : undefined;
    return true;
  }

  #forward(body: Bytes, nowMs: number): void {
    if (body.length === 0) return;
    if (this.#filter === undefined) {
      this.#forwarded = true;
      this.#owner.linkBody(body, nowMs);
      return;
    }
    const filtered = this.#filter.update(body);
    if (!filtered.ok) {
      this.#fail(filtered.error, nowMs);
      return;
    }
    if (filtered.value.length === 0) {
      this.drained();
      return;
    }
    this.#forwarded = true;
    this.#owner.linkBody(filtered.value, nowMs);
  }

  #again(nowMs: number): void {
    const request = this.#request;
    this.#request = undefined;
    request?.cancel();
    if (this.#attempts >= LINK_ATTEMPTS) {
      this.#fail("Failed to retrieve next link.", nowMs);
      return;
    }
    const pauseMs = 1000 * 2 ** (this.#attempts - 1) + Math.floor(this.#random() * 1000);
    this.#wheel.schedule(this, nowMs + pauseMs);
  }

  #fail(text: string, nowMs: number): void {
    this.cancel();
    this.#owner.linkFailed(text, nowMs);
  }
}
