import { type Bytes, sliceBytes } from "@pushpin/tnetstrings";
import { Packet } from "./packet.ts";
import type { Piece } from "./retained-input.ts";
import type { StreamPiece } from "./retained-stream.ts";
import type { Kind } from "./session.ts";

type Item =
  | { readonly type: "packet"; readonly packet: Packet }
  | { readonly type: "head"; readonly packet: Packet; body: Bytes; readonly more: boolean }
  | {
      readonly type: "data";
      readonly contentType: string;
      body: Bytes;
      readonly more: boolean;
      /** Position at its end in the stream it comes from. */
      readonly at?: number | undefined;
    }
  | { readonly type: "ping" | "pong"; readonly body: Bytes; readonly at?: number | undefined }
  | { readonly type: "close"; readonly code: number | undefined; readonly reason: Bytes };

/** Limit: body bytes of one packet; more is split, so that a frame stays bounded. */
export const PACKET_BODY_MAX_BYTES = 200_000;

/** What one session has to send, in order. Exists only while something waits. */
export class SendQueue {
  /** Body bytes that wait. */
  bodyBytes = 0;
  #first: Packet[] | undefined;
  #items: Item[] = [];
  #at = 0;
  #credits = 0;

  get isEmpty(): boolean {
    return this.#credits === 0 && this.#first === undefined && this.#at === this.#items.length;
  }

  /** Nothing waits but one keep-alive. */
  get isLoneKeepAlive(): boolean {
    const first = this.#first;
    if (first?.length !== 1 || first[0]?.type !== "keep-alive") return false;
    return this.#credits === 0 && this.#at === this.#items.length;
  }

  /** Ahead of everything, needs no credits: openings, keep-alives, ends. */
  addFirst(packet: Packet): void {
    if (this.#first === undefined) this.#first = [packet];
    else this.#first.push(packet);
  }

  /** Behind everything, needs no credits. */
  addLast(packet: Packet): void {
    this.#items.push({ type: "packet", packet });
  }

  /** Ahead of what waits for credits: pieces that were sent to somebody who is gone. */
  addBack(pieces: readonly Piece[]): void {
    const again: Item[] = pieces.map((piece) => ({ type: "data", ...piece }));
    for (const { body } of pieces) this.bodyBytes += body.length;
    this.#items = [...again, ...this.#items.slice(this.#at)];
    this.#at = 0;
  }

  /** As `addBack`, for the pieces of a stream. */
  addBackStream(pieces: readonly StreamPiece[]): void {
    for (const { body } of pieces) this.bodyBytes += body.length;
    const again: Item[] = pieces.map(({ type, contentType, body, more }) =>
      type === "data" ? { type, contentType, body, more } : { type, body },
    );
    this.#items = [...again, ...this.#items.slice(this.#at)];
    this.#at = 0;
  }

  /** What is said of the session as such was meant for a peer that is gone. */
  dropUrgent(): void {
    this.#first = undefined;
    this.#credits = 0;
  }

  addCredits(bytes: number): void {
    this.#credits += bytes;
  }

  addHead(packet: Packet, body: Bytes, more: boolean): void {
    this.bodyBytes += body.length;
    this.#items.push({ type: "head", packet, body, more });
  }

  addData(contentType: string, body: Bytes, more: boolean, at?: number): void {
    this.bodyBytes += body.length;
    this.#items.push({ type: "data", contentType, body, more, at });
  }

  addControl(type: "ping" | "pong", body: Bytes, at?: number): void {
    this.bodyBytes += body.length;
    this.#items.push({ type, body, at });
  }

  addClose(code: number | undefined, reason: Bytes): void {
    this.#items.push({ type: "close", code, reason });
  }

  /** The next packet that `credits` allow, or undefined. */
  take(credits: number, kind: Kind): Packet | undefined {
    const first = this.#first?.shift();
    if (first !== undefined) {
      if (this.#first?.length === 0) this.#first = undefined;
      return first;
    }
    const item = this.#items[this.#at];
    const packet = item === undefined ? undefined : this.#takeItem(item, credits, kind);
    if (packet !== undefined) return this.#withCredits(packet, kind);
    if (this.#credits === 0) return undefined;
    const grant = new Packet();
    grant.type = "credit";
    grant.credits = this.#credits;
    this.#credits = 0;
    return grant;
  }

  /** Credits ride along where a data packet goes anyway. */
  #withCredits(packet: Packet, kind: Kind): Packet {
    if (this.#credits === 0 || packet.type !== "data") return packet;
    // Compat 1.36: an HTTP response that ends the session has no use for credits.
    if (kind === "http" && !packet.more) {
      this.#credits = 0;
      return packet;
    }
    packet.credits += this.#credits;
    this.#credits = 0;
    return packet;
  }

  #takeItem(item: Item, credits: number, kind: Kind): Packet | undefined {
    switch (item.type) {
      case "packet":
        this.#next();
        return item.packet;
      case "head":
        return this.#takeHead(item, credits);
      case "data":
        return this.#takeData(item, credits, kind);
      case "ping":
      case "pong":
        return this.#takeControl(item, credits);
      case "close": {
        this.#next();
        const packet = new Packet();
        packet.type = "close";
        packet.code = item.code;
        packet.body = item.reason;
        return packet;
      }
    }
  }

  #takeHead(item: Item & { type: "head" }, credits: number): Packet {
    const packet = item.packet;
    const take = Math.min(item.body.length, credits, PACKET_BODY_MAX_BYTES);
    packet.body = sliceBytes(item.body, 0, take);
    this.bodyBytes -= take;
    if (take === item.body.length) {
      packet.more = item.more;
      this.#next();
      return packet;
    }
    packet.more = true;
    const rest: Item = {
      type: "data",
      contentType: "",
      body: sliceBytes(item.body, take),
      more: item.more,
    };
    this.#items[this.#at] = rest;
    return packet;
  }

  #takeData(item: Item & { type: "data" }, credits: number, kind: Kind): Packet | undefined {
    // An empty piece needs no credits: the end of a body, an empty message.
    if (item.body.length > 0 && credits === 0) return undefined;
    const take = Math.min(item.body.length, Math.max(credits, 0), PACKET_BODY_MAX_BYTES);
    if (item.body.length > 0 && take === 0) return undefined;
    const packet = new Packet();
    packet.body = take === item.body.length ? item.body : sliceBytes(item.body, 0, take);
    if (kind === "websocket") packet.contentType = item.contentType;
    this.bodyBytes -= take;
    if (take === item.body.length) {
      packet.more = item.more;
      packet.at = item.at;
      this.#next();
    } else {
      packet.more = true;
      item.body = sliceBytes(item.body, take);
      if (item.at !== undefined) packet.at = item.at - item.body.length - (item.more ? 0 : 1);
    }
    return packet;
  }

  /** Pings and pongs cannot be split: without credits for the whole body they wait, and so does what follows. */
  #takeControl(item: Item & { type: "ping" | "pong" }, credits: number): Packet | undefined {
    if (item.body.length > credits) return undefined;
    const packet = new Packet();
    packet.type = item.type;
    packet.body = item.body;
    packet.at = item.at;
    this.bodyBytes -= item.body.length;
    this.#next();
    return packet;
  }

  #next(): void {
    this.#at += 1;
    if (this.#at === this.#items.length) {
      this.#items = [];
      this.#at = 0;
    } else if (this.#at > 64) {
      this.#items = this.#items.slice(this.#at);
      this.#at = 0;
    }
  }
}
